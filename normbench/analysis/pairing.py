"""From tables to comparable numbers: the groups of a claim, their matching cells, and the measure's readings.

A cell is a combination of the swept keys, without the rate if a measure takes all rates or each variant's
best. Groups are compared cell by cell and seed by seed, and averaged over the cells that match: those with
equal values of all keys that the claim does not name. A key that a variant does not choose (SELU sets the
activation, a net without a normalization has no epsilon) matches every value. An option that is null is not
such a key: it matches null alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from normbench.analysis.lacking import COLUMN as LACKS
from normbench.analysis.tables import Tables, in_order
from normbench.analysis.variants import (
    at_best_rate,
    copies_of,
    label,
    levels,
    mentions,
    number,
    refining,
    short_key,
    spread,
)
from normbench.measures import Measure, Rows, Sample
from normbench.measures.claim import Claim, Filter, fits
from normbench.names import RATE
from normbench.stats.intervals import Span, weighted

if TYPE_CHECKING:
    import pandas as pd

Cell = tuple[Any, ...]  # the values of the keys that the groups of a claim share
At = Mapping[str, Any]  # the values of the keys of `for_each` that a verdict is about


class Records:
    """The records of one experiment as measures read them. Each table is prepared once.

    Attributes:
        swept: the swept keys.
        runs: rows of runs.csv with `run`, the position by which the other tables name a run.
    """

    def __init__(self, tables: Tables) -> None:
        self.tables, self.swept = tables, tables.swept
        self.runs = tables.runs.assign(run=np.arange(len(tables.runs), dtype=np.int64))

    @classmethod
    def for_claims(cls, tables: Tables) -> Records:
        """Return the records with runs that do not choose a key repeated under each of its values."""
        records = cls(tables)
        runs, _ = spread(records.runs, tables.swept)
        records.runs = _spread_absent(runs, tables.swept)
        return records

    @cached_property
    def curves(self) -> Rows:
        """Return the rows of metrics.csv."""
        return Rows(self.tables.metrics)

    @cached_property
    def layers(self) -> Rows:
        """Return the rows of layers.csv."""
        return Rows(self.tables.layers)


@dataclass(frozen=True)
class Group:
    """The runs of one side of a comparison, at all rates; `named`: the keys that select them."""

    name: str
    runs: pd.DataFrame
    named: tuple[str, ...]

    @property
    def ended(self) -> pd.DataFrame:
        """Return the runs that have an outcome."""
        return self.runs[self.runs["outcome"].notna()]


@dataclass(frozen=True)
class Readings:
    """What the measure reads of one group: one number, or None, for each cell and seed."""

    group: Group
    cells: Mapping[Cell, Mapping[int, Span | None]]
    holes: int  # number of seeds with rates above the block that train again
    grid_edge: bool  # whether a best rate is at the end of the grid and trains
    failed: frozenset[int] = frozenset()  # seeds of which no counted run trains, in any cell
    resolution: float = 0.0  # the distance of two numbers that the measure can tell apart, the largest one


def _spread_absent(runs: pd.DataFrame, swept: Sequence[str]) -> pd.DataFrame:
    """Repeat the runs that lack an option under each value, null included, that other runs have of it."""
    import pandas as pd

    for key in swept:
        lacks = mentions(runs, LACKS, key)
        values = in_order(runs.loc[~lacks, key])
        if not values or not lacks.any():
            continue
        copies = copies_of(runs[lacks], key, values)
        runs = pd.concat([runs[~lacks], *copies]).sort_index(kind="stable").reset_index(drop=True)
    return runs


def select(runs: pd.DataFrame, wanted: Filter) -> pd.DataFrame:
    """Return the runs that have one of the wanted values for each key."""
    mask = np.ones(len(runs), dtype=bool)
    for key, want in wanted.items():
        good = {have for have in runs[key].unique() if fits(_plain(have), want)}
        mask &= runs[key].isin(good).to_numpy()
    return runs[mask]


def _plain(value: Any) -> Any:
    """Return a value of a table as a Python object, NaN as None."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and math.isnan(value) else value


def cases(claim: Claim, runs: pd.DataFrame) -> Iterator[At]:
    """Yield each combination of the values of `for_each` that any group has which changes with them."""
    taking_part = np.zeros(len(runs), dtype=bool)
    for wanted in claim.groups.values():
        if claim.varies(wanted) == claim.for_each:
            taking_part |= runs.index.isin(select(runs, wanted).index)
    found = levels(runs[taking_part], claim.for_each)
    for row in found.values:
        yield dict(zip(found.keys, row, strict=True))


def chosen_at(claim: Claim, wanted: Filter, runs: pd.DataFrame, at: At) -> pd.DataFrame:
    """Return the runs of a group, or control, for one value of `for_each`.

    Args:
        claim: what is claimed.
        wanted: the filter of the group.
        runs: of the experiment.
        at: the values of `for_each`.
    """
    return select(select(runs, wanted), {key: at[key] for key in claim.varies(wanted)})


def groups_of(claim: Claim, runs: pd.DataFrame, at: At) -> list[Group]:
    """Return the sides of one verdict's comparison, or one for each value of `over`, ascending."""
    named = tuple(dict.fromkeys(key for wanted in claim.groups.values() for key in wanted))
    if claim.over is None:
        return [
            Group(_named(name, w), chosen_at(claim, w, runs, at), named) for name, w in claim.groups.items()
        ]
    mine, over = chosen_at(claim, claim.of, runs, at), claim.over
    return [
        Group(f"{short_key(over)} {number(value)}", select(mine, {over: value}), (*named, over))
        for value in in_order(mine[over])
    ]


def _named(name: str, wanted: Filter) -> str:
    """Return a group's name with its filter: `against: norm none`."""
    return f"{name}: {label(tuple(wanted), wanted.values(), named=True)}" if wanted else name


def read(
    measure: Measure, groups: Sequence[Group], records: Records, at: At
) -> tuple[Measure, list[Readings]]:
    """Return what a measure reads of each group, in cells that can match.

    Args:
        measure: what is measured.
        groups: the sides of the comparison.
        records: the experiment's records.
        at: the keys whose values are fixed, which are not part of a cell.

    Returns:
        The measure, with what depends on all compared runs filled in, and the readings of each group.
    """
    keys = [key for key in records.swept if key not in at]
    if measure.over_rates or measure.own_best:
        keys = [key for key in keys if key != RATE]
    chosen = [_chosen(measure, group, keys) for group in groups]
    samples = [list(_samples(runs, keys, measure, records)) for runs in chosen]
    settled = measure.settle([sample for group in samples for _, _, sample in group])
    shared = _shared_keys(keys, groups)
    places = [keys.index(key) for key in shared]
    return settled, [
        _readings(settled, group, found, places, runs)
        for group, found, runs in zip(groups, samples, chosen, strict=True)
    ]


def _chosen(measure: Measure, group: Group, keys: Sequence[str]) -> pd.DataFrame:
    """Return the runs that count: those with an outcome, and if asked, at each variant's best rate.

    A measure of several rates also sees which of them have no outcome yet.
    """
    runs = group.runs if measure.over_rates else group.ended
    if not measure.refined:
        runs = runs[~refining(runs)]
    return at_best_rate(runs, keys) if measure.own_best and len(runs) else runs


def _samples(
    runs: pd.DataFrame, keys: Sequence[str], measure: Measure, records: Records
) -> Iterator[tuple[Cell, int, Sample]]:
    """Yield the values of the keys, the seed, and the runs of each cell and seed."""
    curves = records.curves
    layers = records.layers if measure.reads == "layers" else Rows(records.tables.metrics[:0])
    for values, part in runs.groupby([*keys, "seed"], dropna=False, sort=False):
        if part["outcome"].isna().all():
            continue
        row = tuple(_plain(value) for value in (values if isinstance(values, tuple) else (values,)))
        rates = part[RATE].to_numpy(float) if RATE in part.columns else np.full(len(part), np.nan)
        order = np.argsort(rates, kind="stable")
        yield row[:-1], int(row[-1]), Sample(part.iloc[order], rates[order], curves, layers)


def _shared_keys(keys: Sequence[str], groups: Sequence[Group]) -> list[str]:
    """Return the keys by which cells match: not named by the claim, with a value that all groups share.

    A key that changes together with the named ones (`zip`) has no such value.
    """
    free = [key for key in keys if not any(key in group.named for group in groups)]
    values = {key: [set(in_order(group.runs[key])) for group in groups] for key in free}
    return [key for key in free if set.intersection(*values[key])]


def _readings(
    measure: Measure,
    group: Group,
    samples: Iterable[tuple[Cell, int, Sample]],
    places: Sequence[int],
    runs: pd.DataFrame,
) -> Readings:
    """Read each sample. Cells of the group that differ only in named keys are averaged."""
    found: dict[Cell, dict[int, list[Span | None]]] = {}
    holes, failed, resolution = 0, set[int](), 0.0
    for values, seed, sample in samples:
        cell = tuple(values[place] for place in places)
        found.setdefault(cell, {}).setdefault(seed, []).append(_on_scale(measure, _reading(measure, sample)))
        holes += measure.holes(sample) > 0
        resolution = max(resolution, measure.resolution(sample))
        if not (sample.runs["outcome"] == "trains").any():
            failed.add(seed)
    edge = "edge" in runs.columns and bool((runs["edge"] != "").any())
    cells = {cell: {seed: mean(spans) for seed, spans in seeds.items()} for cell, seeds in found.items()}
    return Readings(group, cells, holes, edge, frozenset(failed), resolution)


def _reading(measure: Measure, sample: Sample) -> Span | None:
    """Return what the measure reads; a single run that crashed has no number, whatever rows it left."""
    return None if sample.crashed and not measure.over_rates else measure.reading(sample)


def _on_scale(measure: Measure, span: Span | None) -> Span | None:
    return span.log() if span is not None and measure.scale == "log" else span


def mean(spans: Sequence[Span | None]) -> Span | None:
    """Return the mean; None if one of them is missing."""
    known = [span for span in spans if span is not None]
    return weighted(known, [1 / len(known)] * len(known)) if len(known) == len(spans) else None


def matching(readings: Sequence[Readings]) -> list[Cell]:
    """Return the cells that all groups have."""
    return [cell for cell in readings[0].cells if all(cell in one.cells for one in readings[1:])]


def shared_seeds(groups: Sequence[Group]) -> list[int]:
    """Return the seeds of which every group has a run with an outcome."""
    return sorted(set.intersection(*(set(group.ended["seed"].tolist()) for group in groups)))
