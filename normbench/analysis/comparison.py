"""The groups of a claim, compared: ratio, difference or trend at any level, and what prevents a decision."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from normbench.analysis.pairing import Group, Readings, matching, mean
from normbench.analysis.tables import Tables, seeds_of
from normbench.analysis.variants import crashes, is_log_axis, number, score
from normbench.measures import Measure
from normbench.measures.base import RateMeasure
from normbench.measures.claim import Claim
from normbench.names import RATE
from normbench.stats.intervals import LEVEL, Interval, Span, share_contrast, span_interval, unlog, weighted

Word = Literal["supported", "refuted", "inconclusive"]
FEWEST_SEEDS = 3


class Comparison:
    """The numbers of the groups, compared.

    Args:
        claim: what is claimed.
        measure: as it was taken.
        readings: what it reads of each group. There must be a cell that all groups have.
        seeds: that all groups have.

    Attributes:
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
        log = measure.scale == "log"
        if claim.over is None:
            self.weights: list[float] = [1.0, -1.0]
        else:
            values = [group.runs[claim.over].iloc[0] for group in self.groups]
            self.weights = _slope_weights(claim.over, values)
        if claim.comparison == "slope" and log:
            self.weights = [w / math.log(10) for w in self.weights]  # readings are natural logarithms
        if claim.comparison == "ratio" and not log:
            readings = [_mapped(one, Span.log) for one in readings]
        elif claim.comparison == "difference" and log:
            readings = [_mapped(one, _unlog) for one in readings]
        self.readings = list(readings)
        self.shown = self.interval(LEVEL)

    def interval(self, level: float, weights: Sequence[float] | None = None) -> Interval:
        """Return estimate and interval of the ratio, the difference or the slope."""
        weights = self.weights if weights is None else weights
        if self.measure.estimator == "share":
            return share_contrast([self._shares(one) for one in self.readings], weights, level)
        sums = [self._contrast(seed, weights) for seed in self.seeds]
        found = span_interval(sums, self.measure.estimator, level)
        return unlog(found) if self.claim.comparison == "ratio" else found

    def _contrast(self, seed: int, weights: Sequence[float]) -> Span | None:
        """Return the weighted sum over the groups, averaged over cells; None if a group lacks a number."""
        rows = [[one.cells[cell].get(seed) for one in self.readings] for cell in self.cells]
        return mean([weighted([s for s in row if s], weights) if all(row) else None for row in rows])

    def _shares(self, one: Readings) -> list[float]:
        """Return the share of each seed, averaged over cells."""
        values = [mean(self._of_seed(one, seed)) for seed in self.seeds]
        return [value.estimate for value in values if value is not None]

    def _of_seed(self, one: Readings, seed: int) -> list[Span | None]:
        return [one.cells[cell].get(seed) for cell in self.cells]

    def word(self, level: float) -> Word:
        """Return the verdict of the interval at this level."""
        interval = self.interval(level)
        low, high = self.claim.region
        if self.strict:  # a slope of 0 is not a trend
            if self._against_the_trend(level) or (interval.high <= low if low == 0 else interval.low >= high):
                return "refuted"
            clear = interval.low > 0 if low == 0 else interval.high < 0
            return "supported" if clear else "inconclusive"
        if interval.low >= low and interval.high <= high:
            return "supported"
        return "refuted" if interval.high < low or interval.low > high else "inconclusive"

    def _against_the_trend(self, level: float) -> str | None:
        """Return between which neighbors the measure moves the other way, corrected for their number."""
        count = len(self.readings) - 1
        sign = 1 if self.claim.expect.kind == "increases" else -1
        for place in range(count):
            weights = [0.0] * (count + 1)
            weights[place], weights[place + 1] = -sign, sign
            if self.interval(1 - (1 - level) / count, weights).high < 0:
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
        if self.measure.estimator == "median" and total < 6:
            found.append(f"n = {total}: the 95 % interval of a median needs 6 seeds")
        elif not any(left_out) and (math.isnan(self.shown.low) or math.isnan(self.shown.high)):
            found.append("its values have no interval (some runs diverged)")
        return found

    def _seeds_that(self, did: str, one: Readings, test: Callable[[Span | None], bool]) -> str:
        """Return how many seeds of a group pass the test in any cell: `2 of 5 seeds diverged (of)`."""
        count = sum(any(map(test, self._of_seed(one, seed))) for seed in self.seeds)
        return f"{count} of {len(self.seeds)} seeds {did} ({one.group.name})" if count else ""

    def why(self, word: Word) -> str:
        """Return the reason of the verdict in one line."""
        low, high = (shown(x, self.claim) for x in (self.shown.low, self.shown.high))
        text = f"{self.measure.label}: {low} to {high}, expected: {self.claim.expected}"
        if word == "refuted" and self.strict and (where := self._against_the_trend(LEVEL)):
            return f"{text}, but it moves the other way {where}"
        if word != "inconclusive":
            return text
        if self._only_the_grid_is_open():
            return (
                f"the grid of learning rates alone is too coarse ({text}); a finer grid decides, or a "
                f"search: `{RATE}: {{edge: {{from: ..., to: ...}}}}`"
            )
        return f"the interval reaches beyond what is expected ({text})"

    def _only_the_grid_is_open(self) -> bool:
        """Return whether the estimates would decide if each seed's value had no width of its own."""
        spans = [span for one in self.readings for cell in one.cells.values() for span in cell.values()]
        # Other widths are no grid's, and a grid that ends too early needs more rates, not finer ones.
        finite = all(span is not None and span.high < math.inf for span in spans)
        if not isinstance(self.measure, RateMeasure) or not finite:
            return False
        exact = copy(self)
        exact.readings = [_mapped(one, _without_width) for one in self.readings]
        return exact.word(LEVEL) != "inconclusive"

    def remarks(self, tables: Tables) -> list[str]:
        """Return what a reader should know in addition to the verdict."""
        found = [f"mean over {len(self.cells)} cells"] if len(self.cells) > 1 else []
        did = self.measure.infinite
        for one in self.readings:
            if one.holes:
                found.append(f"{one.holes} with holes above the edge ({one.group.name})")
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
    if is_log_axis(key, x.tolist()):
        x = np.log10(x)
    x = x - x.mean()
    return [float(w) for w in x / (x * x).sum()]


def shown(value: float, claim: Claim) -> str:
    """Return a number of a verdict as text: `10x` for a ratio."""
    text = "unknown" if math.isnan(value) else ("inf" if value == math.inf else number(float(f"{value:.3g}")))
    return f"{text}x" if claim.comparison == "ratio" and math.isfinite(value) else text
