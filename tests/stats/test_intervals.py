import math

import numpy as np
import pytest

from normbench.stats import intervals as stats
from normbench.stats.intervals import Span
from normbench.stats.outcome import Edge, edge_interval, edge_ratio, largest_trained_rate, outcome


def close(interval, estimate, low, high, n):
    assert interval.n == n
    got = (interval.estimate, interval.low, interval.high)
    assert got == pytest.approx((estimate, low, high), nan_ok=True)


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


def test_share_contrast_against_a_published_example():
    # Newcombe 1998, table II, method 10: 56/70 - 48/80 = 0.2, 0.0524 to 0.3339
    ones, others = [1.0] * 56 + [0.0] * 14, [1.0] * 48 + [0.0] * 32
    got = stats.share_contrast([ones, others], (1, -1))
    assert (round(got.estimate, 4), round(got.low, 4), round(got.high, 4)) == (0.2, 0.0524, 0.3339)
    mirrored = stats.share_contrast([others, ones], (1, -1))
    assert (mirrored.low, mirrored.high) == pytest.approx((-got.high, -got.low))


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


RATES = [0.01, 0.1, 1.0, 10.0]


@pytest.mark.parametrize(
    ("outcomes", "edge"),
    [
        ("TTSD", Edge(0.1, 1.0)),
        ("STTD", Edge(1.0, 10.0, slow=(0.01,))),
        ("TTTT", Edge(10.0, math.inf)),
        ("TSTD", Edge(0.01, 0.1, holes=(1.0,))),
        ("STDT", Edge(0.1, 1.0, slow=(0.01,), holes=(10.0,))),
        ("SSDD", None),
        ("TT.D", Edge(0.1, 10.0)),  # a pending rate widens the gap
        ("TT..", Edge(0.1, math.inf)),
        ("....", None),
    ],
)
def test_largest_trained_rate(outcomes, edge):
    words = {"T": "trains", "S": "stuck", "D": "diverged", ".": None}
    assert largest_trained_rate(RATES, [words[o] for o in outcomes]) == edge
    mixed = [3, 1, 0, 2]
    got = largest_trained_rate([RATES[i] for i in mixed], [words[outcomes[i]] for i in mixed])
    assert got == edge


def test_largest_trained_rate_refuses_two_runs_of_one_rate():
    with pytest.raises(ValueError, match="twice"):
        largest_trained_rate([1, 1], ["trains", "stuck"])


def test_edge_interval_of_equal_seeds_has_the_width_of_the_grid():
    got = edge_interval([Edge(1, 10)] * 3 + [None])
    close(got, 10**0.5, 1, 10, 3)
    assert got.left_out == 1


def test_edge_interval_of_seeds_that_differ():
    got = edge_interval([Edge(1, 10), Edge(10, 100)])
    low = stats.t_interval([1, 10], "log").low
    high = stats.t_interval([10, 100], "log").high
    close(got, 10, low, high, 2)
    close(edge_interval([Edge(1, 10), Edge(10, math.inf)]), math.inf, low, math.inf, 2)
    close(edge_interval([Edge(1, 10)]), 10**0.5, math.nan, math.nan, 1)
    close(edge_interval([None, None]), math.nan, math.nan, math.nan, 0)


def test_edge_ratio_counts_the_grid_on_both_sides():
    ones = {0: Edge(1, 2), 1: Edge(1, 2), 2: None, 9: Edge(1, 2)}
    others = {0: Edge(0.1, 0.2), 1: Edge(0.1, 0.2), 2: Edge(0.1, 0.2)}
    got = edge_ratio(ones, others)
    close(got, 10, 5, 20, 2)  # 1 / 0.2 to 2 / 0.1
    assert got.left_out == 1


def test_edge_ratio_with_an_end_missing_lets_the_finite_end_decide():
    others = {0: Edge(0.1, 0.2), 1: Edge(0.1, 0.2)}
    last = {0: Edge(1, math.inf), 1: Edge(1, math.inf)}
    close(edge_ratio(last, others), math.inf, 5, math.inf, 2)
    close(edge_ratio(others, last), 0, 0, 0.2, 2)
    close(edge_ratio(last, last), math.nan, 0, math.inf, 2)


def test_outcome():
    assert outcome(1.0, 2.0, 0.5, "finished") == "trains"  # at most, so equal counts
    assert outcome(1.01, 2.0, 0.5, "finished") == "stuck"
    assert outcome(None, 2.0, 0.5, "diverged") == "diverged"
    assert outcome(math.inf, 2.0, 0.5, "finished") == "diverged"
    assert outcome(1.0, 2.0, 0.5, "interrupted") is None
    assert outcome(math.nan, 2.0, 0.5, "finished") is None
