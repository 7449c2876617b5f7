"""The groups of a claim, compared: ratio, difference or trend at any level, and what prevents a decision."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np

from normbench.analysis.pairing import Group, Readings, matching, mean
from normbench.analysis.tables import Tables, seeds_of
from normbench.analysis.variants import crashes, is_log_axis, number, score
from normbench.measures import Measure
from normbench.measures.base import RateMeasure
from normbench.measures.claim import Claim
from normbench.names import RATE
from normbench.stats.decide import FEWEST_FOR_MEDIANS, FEWEST_SEEDS, METHODS, Decision, Word, decide
from normbench.stats.intervals import (
    LEVEL,
    Estimator,
    Span,
    SpanInterval,
    exactly,
    span_interval,
    unlog,
    weighted,
)

CONTINUATIONS = 50  # that are drawn for the chance that more seeds decide


class Comparison:
    """The numbers of the groups, compared.

    Args:
        claim: what is claimed.
        measure: as it was taken.
        readings: what it reads of each group. There must be a cell that all groups have.
        seeds: that all groups have.

    Attributes:
        estimator: by which seeds are averaged. A mean of infinite numbers is not known: the median is taken.
        shown: the interval at `LEVEL`.

    Raises:
        ValueError: the ratio needs a logarithm of numbers below 0.
    """

    def __init__(
        self, claim: Claim, measure: Measure, readings: Sequence[Readings], seeds: Sequence[int]
    ) -> None:
        self.claim, self.measure, self.seeds = claim, measure, seeds
        self.groups, self.cells = [one.group for one in readings], matching(readings)
        self.strict = claim.expect.kind in ("increases", "decreases")
        self.ratio = claim.comparison == "ratio"
        log = measure.scale == "log"
        self.constant: list[Span] = []
        if claim.over is not None:
            values = [group.runs[claim.over].iloc[0] for group in self.groups]
            self.weights = _slope_weights(claim.over, values)
        elif claim.constant is not None:
            self.weights = [1.0]
            self.constant = [exactly(claim.constant).log() if self.ratio else exactly(claim.constant)]
        else:
            self.weights = [1.0, -1.0] if claim.contrast is None else [1.0, -1.0, -1.0, 1.0]
        if claim.comparison == "slope" and log:
            self.weights = [w / math.log(10) for w in self.weights]  # readings are natural logarithms
        if self.ratio and not log:
            readings = [_mapped(one, Span.log) for one in readings]
        elif claim.comparison == "difference" and log:
            readings = [_mapped(one, _unlog) for one in readings]
        self.readings = list(readings)
        self._known: dict[tuple[int, tuple[float, ...]], Span | None] = {}
        self.estimator = self._estimator()
        self.shown = self._shown(self.decision(LEVEL).interval)

    def decision(self, level: float) -> Decision:
        """Return the interval at this level, on the scale of the differences, and whether it decides."""
        return self._decision(level, self.weights, self.strict)

    def _decision(self, level: float, weights: Sequence[float], strict: bool) -> Decision:
        ends = Span(*self.claim.region, 0.0)
        if self.ratio:
            ends = ends.log()
        return decide(
            self._differences(weights),
            self.estimator,
            (ends.low, ends.high),
            1 - level,
            strict=strict,
            floor=self._floor(weights) if self.estimator == "t" else 0.0,
        )

    def _shown(self, interval: SpanInterval) -> SpanInterval:
        return unlog(interval) if self.ratio else interval

    def _estimator(self) -> Estimator:
        """Return the estimator that is asked for, or the median where numbers are infinite."""
        asked = self.asked
        spans = [span for one in self.readings for seed in self.seeds for span in self._of_seed(one, seed)]
        known = [span for span in spans if span is not None]
        if asked == "t":  # an open end is no infinite number: the other end can decide
            infinite = any(span.low == span.high and math.isinf(span.low) for span in known)
        else:
            infinite = any(math.isinf(span.estimate) for span in known)
        return "median" if infinite else asked

    def _floor(self, weights: Sequence[float]) -> float:
        """Return the variance that rounding to the measure's resolution adds to a difference."""
        steps = [w * one.resolution for w, one in zip(weights, self.readings, strict=True)]
        return sum(step * step for step in steps) / 12

    def _differences(self, weights: Sequence[float]) -> list[Span | None]:
        for key in ((seed, tuple(weights)) for seed in self.seeds):
            if key not in self._known:
                self._known[key] = self._contrast(*key)
        return [self._known[seed, tuple(weights)] for seed in self.seeds]

    def _contrast(self, seed: int, weights: Sequence[float]) -> Span | None:
        """Return the weighted sum over the groups, averaged over cells; None if a group lacks a number."""
        rows = [[one.cells[cell].get(seed) for one in self.readings] for cell in self.cells]
        added = [-1.0] * len(self.constant)
        return mean(
            [
                weighted([*(s for s in row if s), *self.constant], [*weights, *added]) if all(row) else None
                for row in rows
            ]
        )

    def _of_seed(self, one: Readings, seed: int) -> list[Span | None]:
        return [one.cells[cell].get(seed) for cell in self.cells]

    def word(self, level: float) -> Word:
        """Return the verdict of the interval at this level."""
        if self.strict and self._against_the_trend(level):
            return "refuted"
        return self.decision(level).word

    @property
    def asked(self) -> Estimator:
        """Return the estimator that the claim or its measure asks for."""
        return self.claim.estimator or self.measure.estimator

    def spread(self) -> float:
        """Return the standard deviation over seeds of the differences (ratio: of their logarithms)."""
        known = [span.estimate for span in self._differences(self.weights) if span is not None]
        return float(np.std(known, ddof=1)) if len(known) > 1 else math.nan

    def chance(self, n: int, alpha: float) -> float:
        """Return the share of drawn continuations to n seeds whose interval decides at 1 - alpha.

        The seeds to come are drawn from those so far, with equal chances; the same draws each time.
        """
        draws, decided = np.random.default_rng(n), 0
        longer = copy(self)
        for _ in range(CONTINUATIONS):
            new = draws.integers(len(self.seeds), size=max(0, n - len(self.seeds)))
            longer.seeds = [*self.seeds, *(self.seeds[i] for i in new)]
            decided += longer.word(1 - alpha) != "inconclusive"
        return decided / CONTINUATIONS

    def _against_the_trend(self, level: float) -> str | None:
        """Return between which neighbors the measure moves the other way, corrected for their number."""
        count = len(self.readings) - 1
        for place in range(count):
            weights = [0.0] * (count + 1)
            weights[place], weights[place + 1] = -1, 1
            if self._decision(1 - (1 - level) / count, weights, strict=False).word == "refuted":
                return f"from {self.groups[place].name} to {self.groups[place + 1].name}"
        return None

    def blockers(self) -> list[str]:
        """Return the reasons, other than its width, why the interval cannot decide."""
        total = len(self.seeds)
        if total < FEWEST_SEEDS:
            return [f"n = {total} shared seeds; at least {FEWEST_SEEDS} are needed"]
        found = []
        left_out = [self._seeds_that(self.measure.absent, one, _is_missing) for one in self.readings]
        if any(left_out):
            found.append(", ".join(filter(None, left_out)))
        if self.estimator != "t" and total < FEWEST_FOR_MEDIANS:
            found.append(f"n = {total}: the 95 % interval of a median needs {FEWEST_FOR_MEDIANS} seeds")
        elif not any(left_out) and math.isnan(self.shown.low) and math.isnan(self.shown.high):
            found.append("its values have no interval")
        return found

    def _seeds_that(self, did: str, one: Readings, test: Callable[[Span | None], bool]) -> str:
        """Return how many seeds of a group pass the test in any cell: `2 of 5 seeds diverged (of)`."""
        count = sum(any(map(test, self._of_seed(one, seed))) for seed in self.seeds)
        return f"{count} of {len(self.seeds)} seeds {did} ({one.group.name})" if count else ""

    def _failed(self) -> str:
        """Return how many seeds of each group failed: stuck, diverged or crashed, or trained at no rate."""
        counts = [(len(one.failed & set(self.seeds)), one.group.name) for one in self.readings]
        total, did = len(self.seeds), self.measure.failed
        if len(self.cells) > 1:
            did += " in some cell"
        found = [f"{count} of {total} seeds {did} ({name})" for count, name in counts if count]
        return ", ".join(found) or f"0 of {total} seeds {did}"

    def why(self, word: Word) -> str:
        """Return the reason of the verdict in one line."""
        low, high = (shown(x, self.claim) for x in (self.shown.low, self.shown.high))
        text = f"{self.measure.label}: {low} to {high}, expected: {self.claim.expected}"
        if word == "refuted" and self.strict and (where := self._against_the_trend(LEVEL)):
            return f"{text}, but it moves the other way {where}"
        if word != "inconclusive":
            return text
        if self.decision(LEVEL).tied:
            n = len(self.seeds)
            return f"all {n} seeds agree, but so few can by chance: sign test p = {2 * 0.5**n:.2g} ({text})"
        if self._only_the_grid_is_open():
            search = f", or a search: `{RATE}: {{edge: {{from: ..., to: ...}}}}`"
            search = search if self.measure.searched else ""
            return f"the grid of learning rates alone is too coarse ({text}); a finer grid decides{search}"
        return f"the interval reaches beyond what is expected ({text})"

    def _only_the_grid_is_open(self) -> bool:
        """Return whether the estimates would decide if each seed's value had no width of its own."""
        spans = [span for one in self.readings for cell in one.cells.values() for span in cell.values()]
        # Other widths are no grid's, and a grid that ends too early needs more rates, not finer ones.
        finite = all(span is not None and span.high < math.inf for span in spans)
        if not isinstance(self.measure, RateMeasure) or not finite:
            return False
        exact = copy(self)
        exact._known = {}
        exact.readings = [_mapped(one, _without_width) for one in self.readings]
        return exact.word(LEVEL) != "inconclusive"

    def remarks(self, tables: Tables) -> list[str]:
        """Return what a reader should know in addition to the verdict."""
        found = [METHODS[self.estimator]]
        if self.estimator == "signed_rank":
            ends = self._shown(span_interval(self._differences(self.weights), "median"))
            low, high = (shown(x, self.claim) for x in (ends.low, ends.high))
            found[0] += f" (the median's own interval: {low} to {high})"
        found.append(self._failed())
        if len(self.cells) > 1:
            found.append(f"mean over {len(self.cells)} cells")
        for one in self.readings:
            if one.holes:
                found.append(f"{one.holes} with holes above the edge ({one.group.name})")
            did = self.measure.infinite
            if did and (infinite := self._seeds_that(did, one, _is_infinite)):
                found.append(infinite)
        if self.measure.own_best and any(
            group.runs[RATE].nunique() > 1 for group in self.groups if RATE in group.runs
        ):
            found.append(f"each at its own best rate by mean {score(tables.runs)[1]}")
            edges = [one.group.name for one in self.readings if one.grid_edge]
            if edges:
                found.append(f"the best rate is at the grid's edge ({', '.join(edges)})")
        if lost := [seed for seed in seeds_of(tables) if seed not in self.seeds]:
            found.append(f"not all groups have results of seed {', '.join(map(str, lost))}")
        found += [text for one in self.groups for text in (_crashed(one), _lost_at_once(one)) if text]
        pending = sum(len(group.runs) - len(group.ended) for group in self.groups)
        if pending:
            found.append(f"{pending} runs have no result")
        return found


def _crashed(group: Group) -> str:
    """Return how many runs of a group crashed, and of which seeds."""
    text, runs = crashes(group.ended), group.ended
    seeds = sorted(set(runs.loc[runs["outcome"] == "crashed", "seed"].tolist()))
    which = f"seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}"
    return f"{text} runs, {which} ({group.name}): they count as runs that do not train" if text else ""


def _lost_at_once(group: Group) -> str:
    """Return that all runs of a group diverged before any update."""
    at_once = len(group.ended) and bool((group.ended["diverged_at_step"] == 1).all())
    return f"the loss is not finite on the first batch, before any update ({group.name})" if at_once else ""


def _is_missing(span: Span | None) -> bool:
    return span is None


def _is_infinite(span: Span | None) -> bool:
    return span is not None and span.estimate == math.inf


def _mapped(readings: Readings, how: Callable[[Span], Span]) -> Readings:
    """Return the readings on another scale."""
    cells = {
        cell: {seed: how(span) if span is not None else None for seed, span in seeds.items()}
        for cell, seeds in readings.cells.items()
    }
    return replace(readings, cells=cells)


def _without_width(span: Span) -> Span:
    return Span(span.estimate, span.estimate, span.estimate)


def _unlog(span: Span) -> Span:
    return Span(*(math.exp(value) for value in (span.low, span.high, span.estimate)))


def _slope_weights(key: str, values: Sequence[Any]) -> list[float]:
    """Return the weights with which a sum over the groups is the slope of the least-squares line."""
    x = np.asarray(values, dtype=float)
    if np.isnan(x).any():
        raise ValueError(f"over {key}: one of its values is null, and a trend needs numbers")
    if is_log_axis(key, x.tolist()):
        x = np.log10(x)
    x = x - x.mean()
    return [float(w) for w in x / (x * x).sum()]


def shown(value: float, claim: Claim) -> str:
    """Return a number of a verdict as text: `10x` for a ratio."""
    text = "unknown" if math.isnan(value) else ("inf" if value == math.inf else number(float(f"{value:.3g}")))
    return f"{text}x" if claim.comparison == "ratio" and math.isfinite(value) else text
