"""The groups of a claim compared: ratio, difference or trend at any level; what keeps it from deciding."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from normbench.analysis.pairing import Group, Readings, chosen_by, contrasts, matching, mean
from normbench.analysis.tables import Tables, seeds_of
from normbench.analysis.variants import is_log_axis, number
from normbench.measures import Measure
from normbench.measures.claim import Claim
from normbench.names import RATE
from normbench.stats.intervals import LEVEL, Interval, Span, share_contrast, span_interval, unlog

Word = Literal["supported", "refuted", "inconclusive"]
FEWEST_SEEDS = 3


class Comparison:
    """The numbers of the groups, compared at any level."""

    def __init__(
        self,
        claim: Claim,
        measure: Measure,
        groups: Sequence[Group],
        readings: Sequence[Readings],
        seeds: Sequence[int],
    ) -> None:
        self.claim, self.measure, self.readings, self.seeds = claim, measure, readings, seeds
        self.groups = groups
        self.log = measure.scale == "log"
        if claim.over is None:
            self.weights: list[float] = [1.0, -1.0]
        else:
            self.weights = _slope_weights(claim.over, [group.runs[claim.over].iloc[0] for group in groups])
        if claim.comparison == "slope" and self.log:
            self.weights = [w / math.log(10) for w in self.weights]  # readings are natural logarithms
        self.strict = claim.expect.kind in ("increases", "decreases")
        if claim.comparison == "ratio" and not self.log:
            self.readings = [_mapped(one, Span.log) for one in readings]
        elif claim.comparison == "difference" and self.log:
            self.readings = [_mapped(one, _unlog) for one in readings]

    def interval(self, level: float, weights: Sequence[float] | None = None) -> Interval:
        """Return estimate and interval of the ratio, the difference or the slope."""
        weights = self.weights if weights is None else weights
        if self.measure.estimator == "share":
            return self._share(weights, level)
        sums = contrasts(self.readings, weights, self.seeds)
        found = span_interval(sums, self.measure.estimator, level)
        return unlog(found) if self.claim.comparison == "ratio" else found

    def _share(self, weights: Sequence[float], level: float) -> Interval:
        cells = matching(self.readings)
        shares = []
        for one in self.readings:
            values = [mean([one.cells[cell].get(seed) for cell in cells]) for seed in self.seeds]
            shares.append([value.estimate for value in values if value is not None])
        return share_contrast(shares, weights, level)

    def word(self, level: float) -> Word:
        """Return the verdict that the interval of this level gives."""
        interval = self.interval(level)
        low, high = self.claim.region
        if self.strict:  # 0 is no trend
            if self._against_the_trend(level) or (interval.high <= low if low == 0 else interval.low >= high):
                return "refuted"
            clear = interval.low > 0 if low == 0 else interval.high < 0
            return "supported" if clear else "inconclusive"
        if interval.low >= low and interval.high <= high:
            return "supported"
        return "refuted" if interval.high < low or interval.low > high else "inconclusive"

    def _against_the_trend(self, level: float) -> str | None:
        """Return between which neighbours the measure moves the other way (their number is corrected for)."""
        count = len(self.readings) - 1
        sign = 1 if self.claim.expect.kind == "increases" else -1
        for place in range(count):
            weights = [0.0] * (count + 1)
            weights[place], weights[place + 1] = -sign, sign
            if self.interval(1 - (1 - level) / count, weights).high < 0:
                return f"from {self.groups[place].name} to {self.groups[place + 1].name}"
        return None

    def blockers(self, interval: Interval) -> list[str]:
        """Return the reasons, other than its width, for which the interval cannot decide."""
        total = len(self.seeds)
        if total < FEWEST_SEEDS:
            return [f"n = {total} shared seeds; at least {FEWEST_SEEDS} are needed"]
        found = []
        if left_out := self._without():
            found.append(", ".join(left_out))
        if self.measure.estimator == "median" and total < 6:
            found.append(f"n = {total}: the 95 % interval of a median needs 6 seeds")
        elif not left_out and (math.isnan(interval.low) or math.isnan(interval.high)):
            found.append("its values have no interval (some runs diverged)")
        return found

    def _without(self) -> list[str]:
        """Return how many seeds of which group have no reading."""
        texts = []
        cells = matching(self.readings)
        for one in self.readings:
            count = sum(any(one.cells[cell].get(seed) is None for cell in cells) for seed in self.seeds)
            if count:
                texts.append(f"{count} of {len(self.seeds)} seeds {self.measure.absent} ({one.group.name})")
        return texts

    def _never(self) -> list[str]:
        """Return how many seeds of which group are infinite."""
        if self.measure.estimator != "median":
            return []
        texts = []
        for one in self.readings:
            cells = [one.cells[cell] for cell in matching(self.readings)]
            spans = [[seeds.get(seed) for seeds in cells] for seed in self.seeds]
            count = sum(any(s is not None and s.estimate == math.inf for s in row) for row in spans)
            if count:
                texts.append(f"{count} of {len(self.seeds)} seeds never reach the target ({one.group.name})")
        return texts

    def why(self, word: Word, interval: Interval) -> str:
        """Return in one line why this is the verdict."""
        low, high = (shown(x, self.claim) for x in (interval.low, interval.high))
        text = f"{self.measure.label}: {low} to {high}, expected: {self.claim.expected}"
        if word == "refuted" and self.strict and (where := self._against_the_trend(LEVEL)):
            return f"{text}, but it moves the other way {where}"
        if word != "inconclusive":
            return text
        return f"the interval reaches beyond what is expected ({text})"

    def remarks(self, tables: Tables) -> list[str]:
        """Return what a reader should know beside the verdict."""
        found = self._never()
        if len(cells := matching(self.readings)) > 1:
            found.append(f"mean over {len(cells)} cells")
        for one in self.readings:
            if one.holes:
                found.append(f"{one.holes} with holes above the edge ({one.group.name})")
            open_end = self._open(one)
            if open_end:
                found.append(
                    f"{open_end} of {len(self.seeds)} seeds train up to the last rate ({one.group.name})"
                )
        if self.measure.own_best and any(
            group.runs[RATE].nunique() > 1 for group in self.groups if RATE in group.runs
        ):
            found.append(f"each at its own best rate by {chosen_by(tables)}")
            edges = [one.group.name for one in self.readings if one.grid_edge]
            if edges:
                found.append(f"the best rate is at the grid's edge ({', '.join(edges)})")
        if lost := [seed for seed in seeds_of(tables) if seed not in self.seeds]:
            found.append(f"not all groups have results of seed {', '.join(map(str, lost))}")
        pending = sum(len(group.runs) - len(group.ended) for group in self.groups)
        if pending:
            found.append(f"{pending} runs have no result")
        return found

    def _open(self, one: Readings) -> int:
        """Return how many seeds train up to the last rate."""
        if self.measure.key() != "max_stable_lr":
            return 0
        return sum(
            any(
                (span := seeds.get(seed)) is not None and span.high == math.inf
                for seeds in one.cells.values()
            )
            for seed in self.seeds
        )


def _mapped(readings: Readings, how: Callable[[Span], Span]) -> Readings:
    """Return the readings on another scale."""
    cells = {
        cell: {seed: how(span) if span is not None else None for seed, span in seeds.items()}
        for cell, seeds in readings.cells.items()
    }
    return replace(readings, cells=cells)


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
