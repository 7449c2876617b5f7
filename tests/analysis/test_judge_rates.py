"""Verdicts on the largest rate: grids, seeds without a rate, failed and missing seeds."""

import pytest
from helpers.judging import BN, INF, NAN, PLAIN, edges, numbers, scores, verdict
from helpers.results import run


@pytest.mark.parametrize(
    ("of", "against", "least", "word", "expected"),
    [
        ("TTTTS", "TSSSS", 3, "supported", (1000, 100, 10000)),
        ("TTSSS", "TSSSS", 3, "inconclusive", (10, 1, 100)),  # the grid is too coarse
        ("TSSSS", "TTTTS", 3, "refuted", (0.001, 0.0001, 0.01)),  # the groups exchanged
        ("TTSSS", "TSSSS", 1, "supported", (10, 1, 100)),  # a tie with the bound
        ("TTTTT", "TSSSS", 3, "supported", (INF, 1000, INF)),  # censored above: the finite end decides
        ("TSSSS", "TTTTT", 3, "refuted", (0, 0, 0.001)),
        ("TTTTT", "TTTTT", 3, "inconclusive", (NAN, 0, INF)),  # on both sides
        ("TTTTT", "TTTTS", 3, "inconclusive", (INF, 1, INF)),
        (["TTTTS", "TTTSS", *["TTTTS"] * 4], "TSSSS", 3, "supported", None),
        (["TTTTS", "TSSSS", "TTTTS", "TSSSS", "TTTSS", "TTTSS"], "TSSSS", 3, "inconclusive", None),
    ],
)
def test_the_ratio_of_stable_rates(tmp_path, of, against, least, word, expected):
    one = verdict(tmp_path, edges(of, against), "max_stable_lr", {"ratio_at_least": least})
    assert (one.verdict, one.n) == (word, 6)
    if expected:
        assert numbers(one) == expected
    assert "within 1,000 steps" in one.reason
    assert "largest rate that trains" in one.reason


@pytest.mark.parametrize(
    ("of", "against", "alone"),
    [
        ("TTSSS", "TSSSS", True),
        ("TTTSS", "TTSSS", True),
        ("TTTTT", "TTTTS", False),  # the grid ends too early
        (["TTTTS", "TSSSS", "TTTTS", "TSSSS", "TTTSS"], "TSSSS", False),  # the seeds differ
    ],
)
def test_a_grid_that_alone_is_too_coarse_is_named(tmp_path, of, against, alone):
    one = verdict(tmp_path, edges(of, against), "max_stable_lr", {"ratio_at_least": 3})
    assert one.verdict == "inconclusive"
    assert ("the grid of learning rates alone is too coarse" in one.reason) == alone
    assert ("`optimizer.lr: {edge: {from: ..., to: ...}}`" in one.reason) == alone


@pytest.mark.parametrize(
    ("of", "against", "least", "word", "expected"),
    [
        ("SSSSD", "SDDDD", 3, "supported", (1000, 100, 10000)),
        ("SSDDD", "SDDDD", 3, "inconclusive", (10, 1, 100)),  # the grid, which a search does not make finer
        ("SDDDD", "TTTSD", 3, "refuted", (0.001, 0.0001, 0.01)),
    ],
)
def test_divergence_alone_ends_the_rates_without_divergence(tmp_path, of, against, least, word, expected):
    one = verdict(tmp_path, edges(of, against), "largest_rate_without_divergence", {"ratio_at_least": least})
    assert (one.verdict, numbers(one)) == (word, expected)
    assert "largest rate without divergence" in one.reason
    assert ("a finer grid decides" in one.reason) == (word == "inconclusive")
    assert "{edge:" not in one.reason


def test_lr_sensitivity_is_compared_by_its_ratio_and_a_net_that_learns_nothing_has_none(tmp_path):
    """BN loses (0.2 + 0) / 2 over each of its two decades; the plain net loses 5 times that."""
    runs = []
    for cell, losses, outcomes in ((BN, (0.5, 0.3, 0.5), "TTT"), (PLAIN, (1.3, 0.3, 1.3), "STS")):
        for seed in range(6):
            for rate, loss, outcome in zip((0.1, 1, 10), losses, outcomes, strict=True):
                where, values = {**cell, "optimizer.lr": rate}, {"curve": {0: 0.1}, "start": 2.3}
                runs.append(run(where, seed, outcome, final_test_loss=loss * (1 + 0.01 * seed), **values))
    one = verdict(tmp_path / "a", runs, "lr_sensitivity", {"ratio_at_most": 0.5})
    assert (one.verdict, one.n) == ("supported", 6)
    assert one.estimate == pytest.approx(0.2)
    for this in runs[-3:]:
        this["outcome"] = "stuck"
    one = verdict(tmp_path / "b", runs, "lr_sensitivity", {"ratio_at_most": 0.5})
    assert one.verdict == "inconclusive"
    assert "1 of 6 seeds train at no rate" in one.reason


NOWHERE, LOW = ["SSSSS", "DDDDD"], ["TSSSS"]


@pytest.mark.parametrize(
    ("of", "against", "least", "word", "expected"),
    [
        (["TTTTS"] * 6, NOWHERE + LOW * 4, 3, "supported", (1000, 100, INF)),
        (NOWHERE + LOW * 4, ["TTTTS"] * 6, 3, "refuted", (0.001, 0, 0.01)),
        (["TTTTS"] * 6, NOWHERE * 3, 3, "supported", (INF, INF, INF)),
        (NOWHERE + ["TTTTS"] * 4, LOW * 6, 3, "inconclusive", (1000, 0, 10000)),  # n = 6: the range decides
        (NOWHERE[:1] + ["TTTTS"] * 8, LOW * 9, 3, "supported", (1000, 100, 10000)),
        (NOWHERE[:1] + ["TTTTS"] * 8, NOWHERE[:1] + LOW * 8, 3, "supported", (1000, 100, 10000)),
        (NOWHERE * 3, NOWHERE * 3, 3, "inconclusive", (NAN, 0, INF)),  # undetermined
        (["TTTTS"] * 5, NOWHERE + LOW * 3, 3, "inconclusive", (1000, NAN, NAN)),
    ],
)
def test_a_seed_that_trains_at_no_rate_counts_as_0(tmp_path, of, against, least, word, expected):
    one = verdict(tmp_path, edges(of, against), "max_stable_lr", {"ratio_at_least": least})
    assert (one.verdict, one.n, one.estimator) == (word, len(of), "median")
    assert numbers(one) == expected
    assert "median by order statistics" in one.reason
    for outcomes, name in ((of, "of: batchnorm"), (against, "against: norm none")):
        count = sum("T" not in one for one in outcomes)
        assert (f"{count} of {len(of)} seeds train at no rate ({name})" in one.reason) == (count > 0)


def test_a_seed_that_may_still_train_at_a_rate_is_left_out(tmp_path):
    runs = edges(["TTTTS"] * 6, ["SS.DD", *["TSSSS"] * 5])
    one = verdict(tmp_path, runs, "max_stable_lr", {"ratio_at_least": 3})
    assert (one.verdict, one.n) == ("inconclusive", 5)
    assert one.reason.startswith("1 of 6 seeds train at no rate so far, and have rates without a result")


@pytest.mark.parametrize(
    ("failing", "estimator", "word", "used"),
    [
        (1, None, "inconclusive", "t"),  # one seed that diverges moves the mean
        (1, "median", "supported", "median"),
        (0, None, "supported", "t"),
        (0, "signed_rank", "supported", "signed_rank"),
    ],
)
def test_failed_seeds_are_counted_and_a_robust_estimator_is_on_request(
    tmp_path, failing, estimator, word, used
):
    runs = scores([0.95 + 0.001 * seed for seed in range(9)], [0.9] * 9)
    for one in runs[:failing]:
        one.update(outcome="diverged")
    more = {} if estimator is None else {"estimator": estimator}
    one = verdict(tmp_path, runs, "final_accuracy", {"difference_at_least": 0.01}, **more)
    assert (one.verdict, one.estimator) == (word, used)
    assert f"{failing} of 9 seeds failed" in one.reason


def test_holes_are_counted(tmp_path):
    one = verdict(tmp_path, edges("TTTST", "TSSSS"), "max_stable_lr", {"ratio_at_least": 3})
    assert one.verdict == "supported"
    assert "6 with holes above the edge (of: batchnorm)" in one.reason


def test_too_few_seeds_are_inconclusive(tmp_path):
    one = verdict(tmp_path, edges("TTTTS", "TSSSS", seeds=2), "max_stable_lr", {"ratio_at_least": 3})
    assert one.verdict == "inconclusive"
    assert one.reason.startswith("n = 2 shared seeds; at least 3 are needed")


def test_missing_seeds_and_runs_are_named(tmp_path):
    runs = edges("TTTTS", ["TSSSS"] * 6 + ["....."], seeds=8)
    runs = [one for one in runs if not (one["seed"] == 7 and one["cell"]["model.norm"] == "none")]
    one = verdict(tmp_path, runs, "max_stable_lr", {"ratio_at_least": 3}, seeds=8)
    assert (one.verdict, one.n) == ("supported", 6)
    assert "not all groups have results of seed 6, 7" in one.reason
    assert "5 runs have no result" in one.reason
