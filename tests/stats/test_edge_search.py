"""The search for the edge of the rates: a pure function of a lattice and of what is known so far."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normbench.stats.edge_search import (
    Search,
    lattice,
    lattice_size,
    most_probes,
    refining_rates,
    rehearse,
    wanted,
)
from normbench.stats.outcome import largest_trained_rate

LATTICE = lattice(1e-3, 100.0, 1.1)
SCAN = [i % LATTICE.stride == 0 for i in range(len(LATTICE.rates))]


def search(outcome_of, rates=LATTICE.rates, scan=SCAN, known=()):
    """Let the search go on until it wants nothing; return what it trained, round by round."""
    outcomes = dict(known)
    rounds = []
    while asked := wanted(rates, scan, outcomes):
        assert not set(asked) & set(outcomes), "a rate is asked for twice"
        rounds.append(asked)
        outcomes |= {rate: outcome_of(rate) for rate in asked}
    return rounds, outcomes


def edge_of(outcomes):
    return largest_trained_rate(list(outcomes), list(outcomes.values()))


def below(limit):
    return lambda rate: "trains" if rate <= limit else "diverged"


def test_the_lattice_holds_the_half_decades_and_no_ratio_above_the_precision():
    assert len(LATTICE.rates) == 161
    assert LATTICE.stride == 16
    assert [LATTICE.rates[i] for i in (0, 16, 32, 160)] == [0.001, 0.00316227766017, 0.01, 100.0]
    assert max(b / a for a, b in itertools.pairwise(LATTICE.rates)) < 1.1


@given(st.floats(1e-6, 1e3), st.floats(1.001, 1e6), st.floats(1.01, 100), st.floats(0.0, 1.0))
@settings(max_examples=200, deadline=None)
def test_a_lattice_keeps_its_bounds_and_a_finer_one_has_all_its_rates(low, times, precision, finer):
    high = low * times
    found = lattice(low, high, precision)
    scans, stride = lattice_size(low, high, precision)
    assert len(found.rates) == scans * stride + 1
    assert found.rates[0] == pytest.approx(low, rel=1e-11)
    assert found.rates[-1] == pytest.approx(high, rel=1e-11)
    if times > 1.01:  # else neighbours are equal in 12 digits
        assert list(found.rates) == sorted(set(found.rates))
        assert max(b / a for a, b in itertools.pairwise(found.rates)) <= precision * (1 + 1e-9)
        scan = found.rates[:: found.stride]
        assert max(b / a for a, b in itertools.pairwise(scan)) <= math.sqrt(10) * (1 + 1e-9)
    more = lattice(low, high, 1 + (precision - 1) * (0.2 + 0.8 * finer))
    assert set(found.rates) <= set(more.rates)
    assert set(found.rates[:: found.stride]) == set(more.rates[:: more.stride])


@pytest.mark.parametrize("limit", [0.001, 0.0047, 0.31622, 0.32, 2.9, 99.0])
def test_a_monotone_edge_is_found_in_two_rounds_of_three(limit):
    rounds, outcomes = search(below(limit))
    assert [len(asked) for asked in rounds] == [11, 3, 3]
    assert len(outcomes) == Search(("",) * 161, LATTICE.rates, tuple(SCAN)).most_runs
    top = max(rate for rate in LATTICE.rates if rate <= limit)
    edge = edge_of(outcomes)
    assert edge.top == top
    assert edge.next == LATTICE.rates[LATTICE.rates.index(top) + 1]
    assert not edge.holes


@pytest.mark.parametrize("limit", [1e-4, 100.0])
def test_where_none_or_all_train_the_scan_is_all(limit):
    rounds, outcomes = search(below(limit))
    assert [len(asked) for asked in rounds] == [11]
    edge = edge_of(outcomes)
    assert edge is None if limit < 1e-3 else (edge.top == 100 and math.isinf(edge.next))


def test_slow_rates_below_the_block_and_holes_above_are_no_edge():
    def outcome_of(rate):
        if rate < 0.02:
            return "stuck"
        return "trains" if rate < 0.5 or 9 < rate < 11 else "stuck"

    _, outcomes = search(outcome_of)
    edge = edge_of(outcomes)
    assert edge.top < 0.5 <= edge.next < edge.top * 1.1
    assert edge.holes == (10.0,)
    assert edge.slow == (0.001, 0.00316227766017, 0.01)


def test_a_hole_between_the_probes_is_reported_and_the_lower_edge_taken():
    gap = LATTICE.rates[97:101]  # above 1, the 96th; the probes up to 3.16 are the 100th, 104th and 108th
    _, outcomes = search(lambda rate: "stuck" if rate in gap or rate > 2.4 else "trains")
    edge = edge_of(outcomes)
    assert (edge.top, edge.next) == (LATTICE.rates[96], LATTICE.rates[97])
    assert edge.holes == (LATTICE.rates[104], LATTICE.rates[108])


def test_a_crashed_rate_ends_the_rates_that_train_and_the_search_refines_below_it():
    rounds, outcomes = search(lambda rate: "crashed" if rate >= 0.3 else "trains")
    edge = edge_of(outcomes)
    assert edge.top < 0.3 <= edge.next < edge.top * 1.1
    assert len(rounds) == 3
    assert search(lambda rate: "crashed")[0] == [tuple(LATTICE.rates[::16])]


def test_a_rate_whose_loss_is_not_known_is_as_if_it_were_not_there():
    rounds, outcomes = search(lambda rate: None if rate in (1.0, LATTICE.rates[56]) else below(0.8)(rate))
    edge = edge_of(outcomes)
    assert edge.top <= 0.8 < edge.next
    assert edge.next / edge.top < 1.1
    assert len(rounds) == 4  # the gap is of two scan steps


def test_a_lattice_of_which_cells_are_excluded_is_searched_as_it_is():
    kept = [(rate, first) for rate, first in zip(LATTICE.rates, SCAN, strict=True) if not 0.5 < rate < 20]
    rates, scan = zip(*kept, strict=True)
    _, outcomes = search(below(3.0), rates, scan)
    edge = edge_of(outcomes)
    assert (edge.top, edge.next) == (max(r for r in rates if r < 0.6), min(r for r in rates if r > 0.6))


outcomes_of_all = st.lists(
    st.sampled_from(["trains", "stuck", "diverged", "crashed", None]), min_size=161, max_size=161
)


@given(outcomes_of_all, st.data())
@settings(max_examples=150, deadline=None)
def test_any_outcomes_end_in_neighbours_within_the_promised_runs(results, data):
    """Holes, crashes, gaps anywhere: it ends, and the edge lies between neighbours (but unknown ones)."""
    table = dict(zip(LATTICE.rates, results, strict=True))
    rounds, outcomes = search(table.get)
    edge = edge_of(outcomes)
    if edge is not None and not math.isinf(edge.next):
        inside = [rate for rate in LATTICE.rates if edge.top < rate < edge.next]
        assert all(outcomes.get(rate, "never") is None for rate in inside)
    if None not in results:
        assert len(outcomes) <= 17
    # Interrupted after any number of runs, in any order within a round, it goes on to the same runs.
    flat = [rate for asked in rounds for rate in data.draw(st.permutations(asked))]
    cut = data.draw(st.integers(0, len(flat)))
    done = {rate: table[rate] for rate in flat[:cut]}
    assert search(table.get, known=done)[1] == outcomes
    # What else was trained does not change what it asks for.
    extra = data.draw(st.sets(st.sampled_from(LATTICE.rates), max_size=5)) - set(outcomes)
    rates = {rate: table[rate] for rate in [*done, *extra]}
    assert set(search(table.get, known=rates)[1]) == set(outcomes) | extra


@given(st.integers(0, 300), st.integers(0, 300))
@settings(max_examples=200, deadline=None)
def test_no_gap_takes_more_probes_than_promised(gap, limit):
    rates = [float(i) for i in range(1, gap + 3)]
    scan = [i in (0, gap + 1) for i in range(gap + 2)]
    _, outcomes = search(lambda rate: "trains" if rate <= min(limit, gap) + 1 else "stuck", rates, scan)
    assert len(outcomes) - 2 <= most_probes(gap)


def test_the_rehearsal_makes_the_rounds_of_an_edge_in_the_middle():
    ids = tuple(f"run {i}" for i in range(161))
    one = Search(ids, LATTICE.rates, tuple(SCAN))
    assert [len(asked) for asked in rehearse([one])] == [3, 3]
    assert list(rehearse([])) == []


@pytest.mark.parametrize(
    "sweep", [None, {}, [], {"optimizer.lr": [1, 2]}, {"include": [{"optimizer.lr": 3}, 4]}]
)
def test_a_sweep_without_an_edge_refines_nothing(sweep):
    assert refining_rates(sweep) == frozenset()


def test_the_refining_rates_are_read_off_a_plain_sweep():
    axis = {"optimizer.lr": {"edge": {"from": 1e-3, "to": 100}}}
    assert refining_rates(axis) == LATTICE.between
    assert refining_rates({"include": [{"model.norm": "selu", **axis}]}) == LATTICE.between
