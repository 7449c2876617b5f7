"""Intervals against tables, published examples and their coverage."""

import math

import numpy as np
import pytest
import scipy.stats
from helpers.numbers import close

from normbench.stats import intervals as stats
from normbench.stats.intervals import Span


def test_t_interval_against_the_table():
    # mean 2, s = 1, t(2 degrees) = 4.302653: half width 4.302653 / sqrt(3)
    close(stats.t_interval([1, 2, 3]), 2, 2 - 2.484138, 2 + 2.484138, 3)
    half = 12.706205 * math.log(10) / 2  # logs 0 and ln 10: s = ln(10) / sqrt(2), over sqrt(2)
    close(stats.t_interval([1, 10], "log"), 10**0.5, 10**0.5 * math.exp(-half), 10**0.5 * math.exp(half), 2)


def test_t_interval_of_few_equal_or_missing_values():
    close(stats.t_interval([5.0]), 5, math.nan, math.nan, 1)
    close(stats.t_interval([]), math.nan, math.nan, math.nan, 0)
    close(stats.t_interval([3, 3, math.nan, 3]), 3, 3, 3, 3)
    close(stats.t_interval([1, math.inf], "log"), math.inf, math.nan, math.inf, 2)
    close(stats.t_interval([0, 1], "log"), 0, 0, math.nan, 2)
    with pytest.raises(ValueError, match="log scale"):
        stats.t_interval([-1, 2], "log")


def test_t_interval_covers_what_it_says():
    rng = np.random.default_rng(0)
    hits = [i.low <= 0 <= i.high for i in (stats.t_interval(x) for x in rng.normal(size=(2000, 5)))]
    assert np.mean(hits) == pytest.approx(0.95, abs=0.015)


INF = math.inf


def test_weighted_sums_of_spans():
    one, other = Span(1, 3, 2), Span(0, INF, INF)
    assert stats.weighted((one, stats.exactly(1)), (1, -1)) == Span(0, 2, 1)
    assert stats.weighted((one, other), (2, -1)) == Span(-INF, 6, -INF)
    assert stats.weighted((one, other), (1, 0)) == one  # a weight of 0 keeps nothing of what is infinite
    both = stats.weighted((other, other), (1, -1))
    assert (both.low, both.high, math.isnan(both.estimate)) == (-INF, INF, True)
    assert Span(0, 1, INF).log() == Span(-INF, 0, INF)
    with pytest.raises(ValueError, match="0 or above"):
        stats.exactly(-1).log()


def test_intervals_of_spans_come_from_their_ends():
    spans = [Span(0, 4, 1), Span(1, 6, 2), Span(2, 8, 3), None]
    got = stats.span_interval(spans)
    close(got, 2, stats.t_interval([0, 1, 2]).low, stats.t_interval([4, 6, 8]).high, 3)
    assert got.left_out == 1
    close(stats.span_interval([Span(-INF, 1, 0), Span(0, 1, 0.5)]), 0.25, -INF, 1, 2)
    never = Span(INF, INF, INF)  # not an open end but an infinite value: a mean is unknown on one side
    close(stats.span_interval([never, Span(0, 1, 0.5)]), INF, math.nan, INF, 2)
    close(stats.span_interval([never, never]), INF, INF, INF, 2)
    close(stats.span_interval([never, *[Span(1, 2, 2)] * 5], "median"), 2, 1, INF, 6)


def test_wilson_against_published_values():
    # Newcombe 1998: 81/263 -> 0.2553 to 0.3662; 15/148 -> 0.0624 to 0.1605; 0/20 -> 0 to 0.1611
    got = stats.wilson(81, 263)
    assert (round(got.low, 4), round(got.high, 4)) == (0.2553, 0.3662)
    got = stats.wilson(15, 148)
    assert (round(got.low, 4), round(got.high, 4)) == (0.0624, 0.1605)
    got = stats.wilson(0, 20)
    assert (got.low, round(got.high, 4)) == (0, 0.1611)
    assert stats.wilson(5, 5).high == 1
    assert math.isnan(stats.wilson(0, 0).estimate)


def test_median_interval_needs_six_values():
    close(stats.median_interval([5, 1, 4, 2, 3]), 3, math.nan, math.nan, 5)
    close(stats.median_interval([6, 5, 1, 4, 2, 3]), 3.5, 1, 6, 6)
    close(stats.median_interval(list(range(1, 10))), 5, 2, 8, 9)  # the textbook's ranks for n = 9
    close(stats.median_interval([1, 2, 3, math.inf, math.inf, math.inf]), math.inf, 1, math.inf, 6)
    close(stats.median_interval([1, math.inf, math.inf]), math.inf, math.nan, math.nan, 3)


@pytest.mark.parametrize("n", [5, 6, 8, 12])
def test_the_signed_rank_interval_has_the_shifts_that_scipys_test_does_not_reject(n):
    x = np.random.default_rng(n).normal(1, 1, n)
    got = stats.span_interval([stats.exactly(float(v)) for v in x], "signed_rank")
    if n < 6:
        close(got, got.estimate, math.nan, math.nan, n)
        return
    for end, inward in ((got.low, 1e-9), (got.high, -1e-9)):
        inside, outside = (
            scipy.stats.wilcoxon(x - end - way, mode="exact").pvalue for way in (inward, -inward)
        )
        assert inside > 0.05 >= outside
    averages = [(x[i] + x[j]) / 2 for i in range(n) for j in range(i, n)]
    assert got.estimate == pytest.approx(np.median(averages))


def test_the_signed_rank_interval_of_infinite_values():
    never = Span(INF, INF, INF)
    got = stats.span_interval([never, Span(-INF, -INF, -INF), *[Span(1, 2, 2)] * 8], "signed_rank")
    assert (got.low, got.high, got.n) == (-INF, INF, 10)


def test_a_variance_has_a_floor():
    values = [stats.exactly(v) for v in (0.2, 0.2, 0.2)]
    half = 4.302653 * math.sqrt(0.03 / 3)
    close(stats.span_interval(values, floor=0.03), 0.2, 0.2 - half, 0.2 + half, 3)
    spread = [stats.exactly(v) for v in (1.0, 2.0, 3.0)]
    assert stats.span_interval(spread, floor=0.03) == stats.span_interval(spread)


def test_a_sum_of_which_only_rounding_is_left_is_0():
    terms = [stats.exactly(v) for v in (0.1, 0.2, 0.3)]
    assert stats.weighted(terms, (1, 1, -1)) == stats.exactly(0.0)
    assert stats.weighted([stats.exactly(1e-30)], (1,)) == stats.exactly(1e-30)
