"""The outcome of a run, the edge of the rates that train, and intervals of edges."""

import math

import pytest
from helpers.numbers import close

from normbench.stats.intervals import t_interval
from normbench.stats.outcome import Edge, edge_interval, edge_ratio, largest_trained_rate, outcome

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
    low = t_interval([1, 10], "log").low
    high = t_interval([10, 100], "log").high
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
