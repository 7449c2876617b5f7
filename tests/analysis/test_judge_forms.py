"""Claims against a constant, and interactions."""

import math

import pytest
from helpers.judging import (
    BN,
    edges,
    interaction,
    numbers,
    verdict,
)
from helpers.results import run


@pytest.mark.parametrize(
    ("values", "value", "expect", "word", "estimate"),
    [
        ([0.98, 1.01, 1.0, 1.02], 1, {"equal_within": 0.1}, "supported", 0.0025),
        ([0.98, 1.01, 1.0, 1.02], 1, {"equal_within": 0.01}, "inconclusive", 0.0025),
        ([0.5, 0.51, 0.49, 0.5], 1, {"equal_within": 0.1}, "refuted", -0.5),
        ([0.5, 0.51, 0.49, 0.5], 0.25, {"difference_at_least": 0.2}, "supported", 0.25),
        ([0.5, 0.51, 0.49, 0.5], 0.25, {"ratio_at_least": 1.5}, "supported", 2),
        ([1.0] * 9, 1, {"equal_within": 0}, "inconclusive", 0),
        ([1.0] * 5, 1, {"equal_within": 0.1}, "inconclusive", 0),  # one edge in every seed: 2 / 2^5
        ([1.0] * 6, 1, {"equal_within": 0.1}, "supported", 0),
    ],
)
def test_a_claim_against_a_constant(tmp_path, values, value, expect, word, estimate):
    runs = [run(BN, seed, final_test_accuracy=one) for seed, one in enumerate(values)]
    one = verdict(tmp_path, runs, "final_accuracy", expect, of=BN, against={"value": value})
    assert (one.verdict, one.n) == (word, len(values)), one.reason
    assert one.estimate == pytest.approx(estimate, abs=0.001)


def test_a_largest_rate_against_a_constant(tmp_path):
    runs = [one for one in edges("TTTTS", "TSSSS", seeds=6) if one["cell"]["model.norm"] == "batchnorm"]
    more = {"of": BN, "against": {"value": 5}}
    one = verdict(tmp_path, runs, "max_stable_lr", {"ratio_at_least": 2}, **more)
    assert one.verdict == "supported"
    assert numbers(one) == (math.sqrt(1000) / 5, 2, 20)


CONTRAST = {"of": {"optimizer.name": "sgd"}, "against": {"optimizer.name": "adam"}}


@pytest.mark.parametrize(
    ("sgd", "adam", "expect", "word", "estimate"),
    [
        ([0.30, 0.31, 0.29, 0.3], [0.1, 0.12, 0.11, 0.1], {"difference_at_least": 0.1}, "supported", 0.1925),
        ([0.30, 0.31, 0.29, 0.3], [0.1, 0.12, 0.11, 0.1], {"difference_at_most": 0.1}, "refuted", 0.1925),
        ([0.30, 0.31, 0.29, 0.3], [0.3, 0.29, 0.31, 0.3], {"difference_at_least": 0}, "inconclusive", 0),
        ([0.1, 0.12, 0.11, 0.1], [0.30, 0.31, 0.29, 0.3], {"difference_at_least": 0}, "refuted", -0.1925),
    ],
)
def test_an_interaction_is_a_difference_of_differences(tmp_path, sgd, adam, expect, word, estimate):
    runs = interaction(sgd, adam)
    one = verdict(tmp_path, runs, "final_accuracy", expect, contrast=CONTRAST)
    assert (one.verdict, one.n) == (word, 4), one.reason
    assert one.estimate == pytest.approx(estimate, abs=1e-9)


def test_an_interaction_of_ratios_is_a_ratio_of_ratios(tmp_path):
    runs = []
    for name, of in (("sgd", "TTTTS"), ("adam", "TTSSS")):
        runs += [{**one, "cell": {**one["cell"], "optimizer.name": name}} for one in edges(of, "TSSSS")]
    one = verdict(tmp_path, runs, "max_stable_lr", {"ratio_at_least": 1}, contrast=CONTRAST)
    assert numbers(one) == (100, 1, 10000)  # of four edges, each within a decade
    assert one.verdict == "supported"


def test_an_interaction_without_one_of_its_groups_is_not_judged(tmp_path):
    runs = [
        one for one in interaction([0.3] * 3, [0.1] * 3) if one["cell"] != {"optimizer.name": "adam", **BN}
    ]
    one = verdict(tmp_path, runs, "final_accuracy", {"difference_at_least": 0}, contrast=CONTRAST)
    assert one.verdict == "inconclusive"
    assert "no run of 'of in the contrast: batchnorm, " in one.reason
