"""Intervals, paired comparisons and the edge of the rates that train: arrays in, numbers out.

Intervals are Student-t at 95 % on the scale of the measure. Bootstrap intervals are far too narrow at
3 to 5 seeds (coverage 0.76 to 0.84). Where there are too few values for an interval, its ends are NaN,
never a guess.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

Scale = Literal["linear", "log"]
Numbers = Sequence[float] | np.ndarray
LEVEL = 0.95
NAN = math.nan


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its interval and the number of values behind it (NaN: cannot be said)."""

    estimate: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Edge:
    """The first contiguous block of rates that trains (one cell, one seed) ends between `top` and `next`."""

    top: float
    next: float  # the next rate above the block; inf when the block reaches the last rate
    slow: tuple[float, ...] = ()  # rates below the block
    holes: tuple[float, ...] = ()  # rates above `next` that train again

    @property
    def estimate(self) -> float:
        """Return sqrt(top x next), inf where the next rate is missing."""
        return math.sqrt(self.top * self.next)


@dataclass(frozen=True)
class EdgeInterval(Interval):
    """An interval of rates or of their ratio, which counts the grid; what has no edge is left out."""

    left_out: int = 0


def outcome(
    train_loss_last_tenth: float | None, label_entropy: float | None, trains_below: float, status: str
) -> str | None:
    """Return `trains`, `stuck` or `diverged`; None for a run that neither finished nor diverged.

    A run trains when the mean of the last tenth of its training losses is at most `trains_below` times the
    entropy of the labels (nats).
    """
    if status == "diverged":
        return "diverged"
    if status != "finished" or train_loss_last_tenth is None or label_entropy is None:
        return None
    if math.isnan(train_loss_last_tenth) or math.isnan(label_entropy):
        return None
    if math.isinf(train_loss_last_tenth):
        return "diverged"
    return "trains" if train_loss_last_tenth <= trains_below * label_entropy else "stuck"


@cache
def t_quantile(n: int, level: float = LEVEL) -> float:
    """Return the two-sided Student-t quantile for n values (n - 1 degrees of freedom); NaN below n = 2."""
    if n < 2:
        return NAN
    from scipy.special import stdtrit  # lazily: the command line's --help must not import scipy

    return float(stdtrit(n - 1, 0.5 + level / 2))


def t_interval(values: Numbers, scale: Scale = "linear", level: float = LEVEL) -> Interval:
    """Return the mean (on the log scale: the geometric mean) with its Student-t interval.

    On the log scale 0 and inf are allowed: the end on their side becomes 0 or inf, the other stays unknown.
    NaN values are left out.
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


def paired_ratio(ones: Mapping[int, float], others: Mapping[int, float]) -> Interval:
    """Return the geometric mean of ones / others over shared seeds, with its t interval on the log scale."""
    seeds = sorted(set(ones) & set(others))
    return t_interval([_ratio(ones[s], others[s]) for s in seeds], "log")


def paired_difference(ones: Mapping[int, float], others: Mapping[int, float]) -> Interval:
    """Return the mean of ones - others over their shared seeds, with its t interval."""
    return t_interval([ones[s] - others[s] for s in sorted(set(ones) & set(others))])


def wilson(successes: int, n: int, level: float = LEVEL) -> Interval:
    """Return a share with its Wilson interval, which stays sensible at 0 of n and n of n."""
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
    """Return the median with its order-statistic interval; inf (never reached) is a value like others.

    The interval runs from the k-th smallest to the k-th largest value, with the largest k that keeps the
    level. Below n = 6 not even the whole range covers the median with 95 %: the ends are NaN.
    """
    x = np.sort(np.asarray(values, dtype=float))
    x = x[~np.isnan(x)]
    n = len(x)
    if n == 0:
        return Interval(NAN, NAN, NAN, 0)
    lower, upper = float(x[(n - 1) // 2]), float(x[n // 2])
    median = lower if lower == upper else (lower + upper) / 2
    k, tail = 0, 0.0
    while True:
        tail += math.comb(n, k) / 2.0**n
        if 2 * tail > 1 - level or k >= n // 2:
            break
        k += 1
    if k == 0:
        return Interval(median, NAN, NAN, n)
    return Interval(median, float(x[k - 1]), float(x[n - k]), n)


def largest_trained_rate(rates: Numbers, outcomes: Sequence[str | None]) -> Edge | None:
    """Return where the first contiguous block of rates that train ends, for one cell and seed.

    This is the measure `max_stable_lr`: walk the rates upward. A rate without an outcome (pending, crashed)
    is as if it were not on the grid, so the gap between `top` and `next` grows honestly. None: it trains at
    no rate.
    """
    pairs = sorted((float(r), o) for r, o in zip(rates, outcomes, strict=True) if isinstance(o, str) and o)
    grid = [rate for rate, _ in pairs]
    if len(set(grid)) != len(grid):
        raise ValueError("a rate is given twice: pass the runs of one cell and one seed")
    trains = [o == "trains" for _, o in pairs]
    if True not in trains:
        return None
    first = trains.index(True)
    last = first
    while last + 1 < len(grid) and trains[last + 1]:
        last += 1
    above = math.inf if last + 1 == len(grid) else grid[last + 1]
    holes = tuple(r for r, good in zip(grid[last + 1 :], trains[last + 1 :], strict=True) if good)
    return Edge(grid[last], above, tuple(grid[:first]), holes)


def edge_interval(edges: Sequence[Edge | None]) -> EdgeInterval:
    """Return the geometric mean of sqrt(top x next) over seeds, with the interval that counts the grid.

    Its lower end is the t interval's lower end on the tops, its upper end the upper end on the next rates:
    equal seeds give the width of the grid, not zero. inf where an end is missing. Seeds without an edge are
    counted.
    """
    found = [edge for edge in edges if edge is not None]
    left_out = len(edges) - len(found)
    estimate = t_interval([e.estimate for e in found], "log").estimate
    low = t_interval([e.top for e in found], "log").low
    high = t_interval([e.next for e in found], "log").high
    return EdgeInterval(estimate, low, high, len(found), left_out)


def edge_ratio(ones: Mapping[int, Edge | None], others: Mapping[int, Edge | None]) -> EdgeInterval:
    """Return by which factor the edge of `ones` lies above that of `others`, paired on seeds, grid counted.

    Lower end: the t interval's lower end on (top of one) / (next of the other); upper end: the upper end on
    (next of one) / (top of the other). Pairs in which one trains at no rate are left out and counted. Where
    both blocks reach their last rate the estimate is NaN: any ratio is possible.
    """
    seeds = sorted(set(ones) & set(others))
    pairs = [(a, b) for a, b in ((ones[s], others[s]) for s in seeds) if a is not None and b is not None]
    estimates = [_ratio(a.estimate, b.estimate) for a, b in pairs]
    estimate = NAN if any(map(math.isnan, estimates)) else t_interval(estimates, "log").estimate
    low = t_interval([_ratio(a.top, b.next) for a, b in pairs], "log").low
    high = t_interval([_ratio(a.next, b.top) for a, b in pairs], "log").high
    return EdgeInterval(estimate, low, high, len(pairs), len(seeds) - len(pairs))


def _ratio(one: float, other: float) -> float:
    if one == other and (one == 0 or math.isinf(one)):
        return NAN
    return math.inf if other == 0 else one / other
