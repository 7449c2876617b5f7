"""Whether an interval decides: the one rule of every verdict, from the differences of the seeds to a word.

`decide` is pure: the same differences give the same interval and the same word, at any level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from normbench.stats.intervals import Estimator, Span, SpanInterval, span_interval

Word = Literal["supported", "refuted", "inconclusive"]

FEWEST_SEEDS = 3  # for any verdict
FEWEST_FOR_MEDIANS = 6  # with fewer, even the whole range covers a median with less than 95 %
METHODS: dict[Estimator, str] = {
    "t": "Student-t",
    "median": "median by order statistics",
    "signed_rank": "Wilcoxon's signed rank",
}
RELATIVE = 1e-9  # numbers that are closer than this are equal
ABSOLUTE = 1e-12  # likewise, as a share of the largest difference: for bounds of 0


def fewest_seeds(estimator: Estimator) -> int:
    """Return the smallest number of seeds at which an estimator can decide at 95 %."""
    return FEWEST_SEEDS if estimator == "t" else FEWEST_FOR_MEDIANS


@dataclass(frozen=True)
class Decision:
    """An interval, and what it says about the expected region.

    Attributes:
        interval: at the level that was asked for.
        word: what it says.
        tied: whether it says nothing only because all seeds have the same number and are too few.
    """

    interval: SpanInterval
    word: Word
    tied: bool = False


def decide(
    differences: Sequence[Span | None],
    estimator: Estimator,
    region: tuple[float, float],
    alpha: float,
    *,
    strict: bool = False,
    floor: float = 0.0,
) -> Decision:
    """Return the interval at the level 1 - alpha, and whether it decides.

    It decides if it lies wholly inside the region, or wholly outside. An end that touches a bound (up to
    rounding) lies inside. If all seeds have the same number, an interval has no width, which proves nothing.
    The sign test must then agree: its p-value is 2 / 2^n, and seeds at the bound itself have no sign.

    Args:
        differences: of each seed, on the scale on which they are averaged; None if there is none.
        estimator: how they are averaged.
        region: what is expected, on the same scale. Its ends may be infinite.
        alpha: 1 minus the level of the interval.
        strict: whether a finite bound itself is outside the region (a slope of 0 is no trend).
        floor: the smallest variance of a difference, if rounding makes seeds equal that are not.
    """
    interval = span_interval(differences, estimator, 1 - alpha, floor)
    known = [span for span in differences if span is not None]
    if not known or (math.isnan(interval.low) and math.isnan(interval.high)):
        return Decision(interval, "inconclusive")
    sizes = [abs(x) for span in known for x in (span.low, span.high) if math.isfinite(x)]
    slack = ABSOLUTE * max(sizes, default=0.0)
    signs_agree = 2.0 * 0.5 ** len(known) <= alpha
    exact = all(span.low == span.high for span in known)

    def beyond(values: Sequence[float], end: float, bound: float, touching: bool, ties: bool) -> bool:
        """Return whether an end that comes from these values is above a bound, or, if allowed, at it."""
        if math.isinf(bound):
            return bound < 0
        at_bound = _equal(end, bound, slack)
        if not (touching if at_bound else end > bound):
            return False
        tied = floor == 0 and all(_equal(x, values[0], slack) for x in values)
        return not tied or ties or (signs_agree and not (at_bound and exact))

    def word(ties: bool) -> Word:
        """Return what the interval says; with `ties`, also where all seeds have the same number."""
        above = beyond(lows, interval.low, low, not strict, ties)
        below = beyond([-x for x in highs], -interval.high, -high, not strict, ties)
        if above and below:
            return "supported"
        under = beyond([-x for x in highs], -interval.high, -low, strict, ties)
        over = beyond(lows, interval.low, high, strict, ties)
        return "refuted" if under or over else "inconclusive"

    lows, highs = [span.low for span in known], [span.high for span in known]
    low, high = region
    said = word(False)
    return Decision(interval, said, said == "inconclusive" and word(True) != "inconclusive")


def _equal(one: float, other: float, slack: float) -> bool:
    """Return whether two numbers are equal, up to rounding."""
    return one == other or math.isclose(one, other, rel_tol=RELATIVE, abs_tol=slack)
