"""Confidence intervals and paired comparisons: arrays in, numbers out.

Intervals are Student-t at 95 % on the scale of the measure. Bootstrap intervals are far too narrow at
3 to 5 seeds (coverage 0.76 to 0.84). If there are too few values for an interval, its ends are NaN.

A value that is known only within bounds (a rate between two rates of the grid, a step between two
evaluations) is a `Span`. The lower end of an interval then comes from the lower bounds, its upper end from
the upper bounds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

Scale = Literal["linear", "log"]
Estimator = Literal["t", "median", "signed_rank"]  # Student-t, order statistics, Wilcoxon
Numbers = Sequence[float] | np.ndarray
LEVEL = 0.95
NAN = math.nan
ROUNDING = 1e-12


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its interval and the number of values it is based on (NaN: unknown)."""

    estimate: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Span:
    """A value between `low` and `high` (equal if it is known exactly), with an estimate between them."""

    low: float
    high: float
    estimate: float

    def log(self) -> Span:
        """Return the span on the natural log scale; 0 becomes -inf."""
        return Span(*(_log(value) for value in (self.low, self.high, self.estimate)))


@dataclass(frozen=True)
class SpanInterval(Interval):
    """An interval that includes the bounds of each value; `left_out` counts missing values."""

    left_out: int = 0


@cache
def t_quantile(n: int, level: float = LEVEL) -> float:
    """Return the two-sided Student-t quantile for n values (n - 1 degrees of freedom); NaN below n = 2."""
    if n < 2:
        return NAN
    from scipy.special import stdtrit  # lazily: `normbench --help` must not import scipy

    return float(stdtrit(n - 1, 0.5 + level / 2))


def t_interval(values: Numbers, scale: Scale = "linear", level: float = LEVEL) -> Interval:
    """Return the mean (on the log scale: the geometric mean) with its Student-t interval.

    The log scale allows 0 and inf: the end on their side becomes 0 or inf, the other end is unknown. NaN
    values are left out.
    """
    x = np.asarray(values, dtype=float)
    x = x[~np.isnan(x)]
    n = len(x)
    if n == 0:
        return Interval(NAN, NAN, NAN, 0)
    if scale == "log":
        if (x < 0).any():
            raise ValueError("an interval on the log scale needs values of 0 or above")
        has_zero, has_inf = bool((x == 0).any()), bool(np.isinf(x).any())
        if has_zero or has_inf:
            mean = NAN if has_zero and has_inf else (0.0 if has_zero else math.inf)
            low = 0.0 if has_zero else NAN
            high = math.inf if has_inf else NAN
            return Interval(mean, low if n > 1 else NAN, high if n > 1 else NAN, n)
        x = np.log(x)
    mean = float(x.mean())
    half = t_quantile(n, level) * float(x.std(ddof=1)) / math.sqrt(n) if n > 1 else NAN
    low, high = mean - half, mean + half
    if scale == "log":
        mean, low, high = math.exp(mean), math.exp(low), math.exp(high)
    return Interval(mean, low, high, n)


def wilson(successes: float, n: int, level: float = LEVEL) -> Interval:
    """Return a share with its Wilson interval, which is also valid at 0 of n and n of n."""
    if n == 0:
        return Interval(NAN, NAN, NAN, 0)
    from scipy.special import ndtri

    z = float(ndtri(0.5 + level / 2))
    share = successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else middle - half
    high = 1.0 if successes == n else middle + half
    return Interval(share, low, high, n)


def median_interval(values: Numbers, level: float = LEVEL) -> Interval:
    """Return the median with its order-statistic interval. inf (never reached) is a valid value.

    The interval extends from the k-th smallest to the k-th largest value, with the largest k that keeps the
    level. Below n = 6 even the whole range covers the median with less than 95 %: the ends are NaN.
    """
    return span_interval([exactly(float(v)) for v in values if not math.isnan(v)], "median", level)


def _median(values: Sequence[float]) -> float:
    x = sorted(value for value in values if not math.isnan(value))
    if not x:
        return NAN
    lower, upper = x[(len(x) - 1) // 2], x[len(x) // 2]
    return lower if lower == upper else (lower + upper) / 2


@cache
def _order(n: int, level: float) -> int:
    """Return the largest k for which k-th smallest to k-th largest of n values keep the level, or 0."""
    k, tail = 0, 0.0
    while k < n // 2:
        tail += math.comb(n, k) / 2.0**n
        if 2 * tail > 1 - level + ROUNDING:
            break
        k += 1
    return k


def exactly(value: float) -> Span:
    """Return the span of a value that is known exactly."""
    return Span(value, value, value)


def weighted(spans: Sequence[Span], weights: Sequence[float]) -> Span:
    """Return the weighted sum: (1, -1) gives a difference, of logarithms a ratio. inf - inf is unbounded."""
    parts = [(span, w) for span, w in zip(spans, weights, strict=True) if w]
    low = _sum([w * (span.low if w > 0 else span.high) for span, w in parts])
    high = _sum([w * (span.high if w > 0 else span.low) for span, w in parts])
    estimate = _sum([w * span.estimate for span, w in parts])
    return Span(-math.inf if math.isnan(low) else low, math.inf if math.isnan(high) else high, estimate)


def _sum(terms: Sequence[float]) -> float:
    """Return the sum; 0 if nothing but rounding is left of the terms."""
    total = sum(terms, 0.0)
    return 0.0 if abs(total) <= ROUNDING * sum(map(abs, terms)) < math.inf else total


def span_interval(
    spans: Sequence[Span | None], how: Estimator = "t", level: float = LEVEL, floor: float = 0.0
) -> SpanInterval:
    """Return the mean (`t`), the median or the pseudo-median (`signed_rank`) of spans, with its interval.

    The lower end is that of an interval of the lower bounds, the upper end that of the upper bounds. If a
    value is infinite, the end on its side is infinite and the other end comes from the finite values. For
    means this holds only if one bound of the span is finite, for medians always.

    Args:
        spans: the values; None is left out and counted.
        how: `t` is Student's interval, `median` that of the order statistics. `signed_rank` is the interval
            of the shifts that Wilcoxon's signed-rank test does not reject. Its estimate is the median of all
            averages of two values (Hodges & Lehmann 1963); it takes the values to be symmetric.
        level: of the interval.
        floor: the smallest variance of a value (`t`).
    """
    known = [span for span in spans if span is not None]
    n, left_out = len(known), len(spans) - len(known)
    estimates = [span.estimate for span in known]
    lows, highs = sorted(span.low for span in known), sorted(span.high for span in known)
    if how == "median":
        k = _order(n, level)
        ends = (lows[k - 1], highs[n - k]) if k else (NAN, NAN)
        return SpanInterval(_median(estimates), *ends, n, left_out)
    if how == "signed_rank":
        k = _signed_rank_order(n, level)
        ends = (_averages(lows, -math.inf)[k - 1], _averages(highs, math.inf)[-k]) if k else (NAN, NAN)
        return SpanInterval(_median(_averages(estimates, NAN)), *ends, n, left_out)
    mean = sum(estimates) / n if n else NAN
    ends = -_t_end([-x for x in lows], level, floor), _t_end(highs, level, floor)
    return SpanInterval(mean, *ends, n, left_out)


def _averages(values: Sequence[float], unknown: float) -> list[float]:
    """Return the averages of all pairs of values, each with itself too, ascending; inf - inf is unknown."""
    pairs = itertools.combinations_with_replacement(values, 2)
    averages = [a if a == b else (a + b) / 2 for a, b in pairs]
    return sorted(unknown if math.isnan(average) else average for average in averages)


@cache
def _signed_rank_order(n: int, level: float) -> int:
    """Return the largest k for which k-th smallest to k-th largest average keep the level, or 0.

    The level is 1 - 2 P(W < k). W is the sum of a random subset of the ranks 1 to n.
    """
    counts = [1]
    for rank in range(1, n + 1):
        added = [0] * rank + counts
        counts = [one + other for one, other in itertools.zip_longest(counts, added, fillvalue=0)]
    k, tail = 0, 0.0
    while k < len(counts) // 2:
        tail += counts[k] / 2.0**n
        if 2 * tail > 1 - level + ROUNDING:
            break
        k += 1
    return k


def _t_end(values: Sequence[float], level: float, floor: float = 0.0) -> float:
    """Return the upper end of a mean's Student-t interval: inf if a value is inf, NaN if it is unknown."""
    n = len(values)
    if n < 2:
        return NAN
    if math.inf in values:
        return math.inf
    if -math.inf in values:
        return -math.inf if set(values) == {-math.inf} else NAN
    x = np.asarray(values, dtype=float)
    mean = float(np.add.reduce(x)) / n  # with the bits of x.mean() and x.var(), at a quarter of their time
    off = x - mean
    variance = float(np.add.reduce(off * off)) / (n - 1)
    return mean + t_quantile(n, level) * math.sqrt(max(variance, floor) / n)


def unlog(interval: SpanInterval) -> SpanInterval:
    """Return the exponential of an interval of natural logarithms."""
    estimate, low, high = (_exp(x) for x in (interval.estimate, interval.low, interval.high))
    return SpanInterval(estimate, low, high, interval.n, interval.left_out)


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def _log(value: float) -> float:
    if value < 0:
        raise ValueError("a logarithm needs values of 0 or above")
    return math.log(value) if value else -math.inf


def p_beyond(spans: Sequence[Span], margin: float = 0.0) -> float:
    """Return the smallest alpha for which the interval of the mean lies outside -margin to margin, or 1.

    It is the two-sided p-value of Student's t-test against the nearer end of the margin, with the bounds of
    the spans that make it largest. `span_interval` at the level 1 - alpha excludes the margin exactly if
    alpha is larger than this p-value.
    """
    n = len(spans)
    if n < 2:
        return 1.0
    from scipy.special import stdtr

    smallest = 1.0
    for values in ([span.low for span in spans], [-span.high for span in spans]):
        x = np.asarray(values, dtype=float) - margin
        if not np.isfinite(x).all() or x.mean() <= 0:
            continue
        error = float(x.std(ddof=1)) / math.sqrt(n)
        smallest = min(smallest, 2 * float(stdtr(n - 1, -x.mean() / error)) if error else 0.0)
    return smallest
