"""Searches the edge of the rates that train: which rates of a fixed lattice to train next.

The lattice has scan points at equal distances (on the log scale) of at most half a decade. Each distance is
divided into equal steps of at most the requested precision. For each cell and seed, the scan is trained first
and determines the block of rates that train. Then rates between the top of the block and the next rate are
trained, a few in each round, until the two are neighbors on the lattice. The functions are pure: the same
outcomes give the same rounds, so an interrupted search continues as if it had not been interrupted.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from normbench.names import RATE
from normbench.stats.outcome import largest_trained_rate

SCAN_DECADES = 0.5  # largest distance of two scan points
PROBES = 3  # rates in a round: a gap of 16 steps closes in two rounds
DIGITS = 12  # significant digits of a rate, as on every generated axis
PRECISION = 1.1


@dataclass(frozen=True)
class Lattice:
    """The rates that a search may train, ascending; every `stride`-th is a point of the scan."""

    rates: tuple[float, ...]
    stride: int

    @property
    def between(self) -> frozenset[float]:
        """Return the rates outside the scan, which are trained only if the search asks for them."""
        return frozenset(rate for i, rate in enumerate(self.rates) if i % self.stride)


def lattice_size(low: float, high: float, precision: float) -> tuple[int, int]:
    """Return the number of distances in the scan, and the number of steps in each of them.

    The number of steps is a power of two, so that the rates of a coarser precision are among those of a finer
    one. A later change of `precision` therefore keeps every run.
    """
    decades = math.log10(high / low)
    scans = max(1, math.ceil(decades / SCAN_DECADES - 1e-9))
    ratio = decades / scans / math.log10(precision)
    return scans, 2 ** max(0, math.ceil(math.log2(ratio) - 1e-9))


@lru_cache(maxsize=64)
def lattice(low: float, high: float, precision: float) -> Lattice:
    """Return the lattice from `low` to `high` whose neighbors have a ratio of at most `precision`."""
    scans, stride = lattice_size(low, high, precision)
    steps = scans * stride
    ends = math.log10(low), math.log10(high)
    exact = [10 ** (ends[0] * (1 - i / steps) + ends[1] * (i / steps)) for i in range(steps + 1)]
    return Lattice(tuple(float(f"{rate:.{DIGITS}g}") for rate in exact), stride)


def wanted(
    rates: Sequence[float], scan: Sequence[bool], outcomes: Mapping[float, str | None]
) -> tuple[float, ...]:
    """Return the rates of one cell and seed to train next; none once its edge is found.

    Args:
        rates: the lattice, ascending (without cells that the config excludes, with those that it includes).
        scan: for each rate, whether the first round trains it.
        outcomes: of every rate whose run ended: `trains`, or `stuck`, `diverged`, `crashed`, which all end
            the block of rates that train. None: its loss is not known, and it counts as not on the lattice.
            Rates that no round asks for are ignored, so that the rounds do not depend on what else was
            trained.
    """
    asked = [rate for rate, first in zip(rates, scan, strict=True) if first]
    while True:
        missing = tuple(rate for rate in asked if rate not in outcomes)
        if missing:
            return missing
        known = {rate: outcomes[rate] for rate in asked}
        edge = largest_trained_rate(list(known), list(known.values()))
        if edge is None or math.isinf(edge.next):
            return ()
        gap = rates[bisect_right(rates, edge.top) : bisect_left(rates, edge.next)]
        inside = [rate for rate in gap if rate not in known]
        if not inside:
            return ()
        asked = sorted([*asked, *_spread(inside)])


def most_probes(gap: int) -> int:
    """Return the largest number of rates that a search trains in a gap with `gap` rates inside."""
    if gap <= PROBES:
        return gap
    return PROBES + most_probes(-(-(gap - PROBES) // (PROBES + 1)))


def _spread(inside: Sequence[float]) -> list[float]:
    """Return at most PROBES of the rates that divide their gap as evenly as the lattice allows."""
    if len(inside) <= PROBES:
        return list(inside)
    steps = len(inside) + 1
    return [inside[round(steps * part / (PROBES + 1)) - 1] for part in range(1, PROBES + 1)]


@dataclass(frozen=True)
class Search:
    """The search of one cell and seed: the ids of its possible runs, their rates, and which it scans."""

    ids: tuple[str, ...]
    rates: tuple[float, ...]
    scan: tuple[bool, ...]

    def wanted(self, outcomes: Mapping[str, str | None]) -> tuple[str, ...]:
        """Return the ids of the runs to train next, given the outcomes of all ended runs."""
        ended = {rate: outcomes[run_id] for rate, run_id in self._ids.items() if run_id in outcomes}
        return tuple(self._ids[rate] for rate in wanted(self.rates, self.scan, ended))

    @cached_property
    def _ids(self) -> dict[float, str]:
        return dict(zip(self.rates, self.ids, strict=True))

    @property
    def most_runs(self) -> int:
        """Return the largest number of runs that the search makes."""
        scanned = [i for i, first in enumerate(self.scan) if first]
        gaps = [right - left - 1 for left, right in itertools.pairwise(scanned)]
        return len(scanned) + most_probes(max(gaps, default=0))

    @property
    def note(self) -> str:
        """Return what the search does, in a sentence."""
        scanned = sum(self.scan)
        refining = self.most_runs - scanned
        ratio = max(right / left for left, right in itertools.pairwise(self.rates))
        return (
            f"the edge of the rates is searched among {len(self.rates)} rates from {self.rates[0]:g} to "
            f"{self.rates[-1]:g}, each at most {ratio:.4g} times the previous one: for each cell and seed, "
            f"{scanned} are scanned, then at most {refining} refine; the estimate includes these"
        )


def rehearse(searches: Sequence[Search]) -> Iterator[set[str]]:
    """Yield the ids of each round after the scan, if every edge were in the middle of its lattice."""
    outcomes: dict[str, str | None] = {}
    known: dict[str, str | None] = {}
    for search in searches:
        for place, (run_id, first) in enumerate(zip(search.ids, search.scan, strict=True)):
            outcomes[run_id] = "trains" if 2 * place < len(search.ids) else "diverged"
            if first:
                known[run_id] = outcomes[run_id]
    while ids := {run_id for search in searches for run_id in search.wanted(known)}:
        yield ids
        known |= {run_id: outcomes[run_id] for run_id in ids}


def refining_rates(sweep: Any) -> frozenset[float]:
    """Return the rates between the scan points of the search in a `sweep` (plain data), if any."""
    if not isinstance(sweep, dict):
        return frozenset()
    added = sweep.get("include")
    for axes in [sweep, *(added if isinstance(added, list) else [])]:
        axis = axes.get(RATE) if isinstance(axes, dict) else None
        spec = axis.get("edge") if isinstance(axis, dict) else None
        if isinstance(spec, dict):
            found = lattice(float(spec["from"]), float(spec["to"]), float(spec.get("precision", PRECISION)))
            return found.between
    return frozenset()
