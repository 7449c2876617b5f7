"""Each verdict on made-up runs whose answer is known."""

import math

import pytest
from helpers.judging import (
    BN,
    PLAIN,
    RATES,
    curves,
    deep,
    edges,
    numbers,
    scores,
    verdict,
    verdicts,
)
from helpers.results import claim, rate_runs, run, write

from normbench.analysis.judge import Verdict, holm, judge_all
from normbench.analysis.tables import load_tables
from normbench.errors import ConfigError
from normbench.measures.claim import Claim

OF, LESS = [0.95, 0.96, 0.97], [0.901, 0.91, 0.919]  # differences 0.049, 0.05, 0.051


@pytest.mark.parametrize(
    ("of", "against", "expect", "word"),
    [
        (OF, LESS, {"difference_at_least": 0.04}, "supported"),
        (OF, LESS, {"difference_at_least": 0.06}, "refuted"),
        (OF, LESS, {"difference_at_most": 0.04}, "refuted"),
        (OF, LESS, {"ratio_at_least": 1.03}, "supported"),
        (OF, [0.90, 0.96, 0.99], {"difference_at_least": 0}, "inconclusive"),
        (OF, LESS, {"equal_within": 0.1}, "supported"),
        (OF, LESS, {"equal_within": 0.01}, "refuted"),
        (OF, LESS, {"equal_within": 0.1, "scale": "ratio"}, "supported"),
        ([0.95, math.nan, 0.97], LESS, {"difference_at_least": 0}, "inconclusive"),
    ],
)
def test_paired_numbers(tmp_path, of, against, expect, word):
    one = verdict(tmp_path, scores(of, against), "final_accuracy", expect)
    assert one.verdict == word
    if math.nan in of:
        assert "1 of 3 seeds have no value in the records (of: batchnorm)" in one.reason


@pytest.mark.parametrize(
    ("of", "against", "n", "expect", "word"),
    [
        (0.9, 0.8, 5, {"difference_at_least": 0.05}, "inconclusive"),  # the sign test: 2 / 2^5 = 0.0625
        (0.9, 0.8, 6, {"difference_at_least": 0.05}, "supported"),  # 2 / 2^6 = 0.031
        (0.9, 0.8, 6, {"difference_at_least": 0.15}, "refuted"),
        (0.9, 0.8, 5, {"difference_at_least": 0.15}, "inconclusive"),
        (0.9, 0.9, 9, {"difference_at_least": 0}, "inconclusive"),  # [0, 0] at a bound of 0
        (0.9, 0.9, 9, {"difference_at_most": 0}, "inconclusive"),
        (0.9, 0.9, 9, {"equal_within": 0}, "inconclusive"),
        (0.9, 0.9, 9, {"equal_within": 0.01}, "supported"),
        (0.9, 0.9, 5, {"equal_within": 0.01}, "inconclusive"),
        (0.9, 0.9, 9, {"ratio_at_least": 1}, "inconclusive"),
        (0.3, 0.1, 9, {"difference_at_least": 0.2}, "inconclusive"),  # 0.2 but for rounding
    ],
)
def test_a_spread_of_zero_is_no_proof(tmp_path, of, against, n, expect, word):
    one = verdict(tmp_path, scores([of] * n, [against] * n), "final_accuracy", expect)
    assert one.verdict == word
    assert one.ci_high - one.ci_low == pytest.approx(0)


def test_seeds_that_tie_on_a_grid_of_rates(tmp_path):
    claims = [claim("max_stable_lr", id=f"C{i}", expect={"ratio_at_least": 3}) for i in range(2)]
    few = verdict(tmp_path / "few", edges("TTTTS", "TSSSS", 5), "max_stable_lr", {"ratio_at_least": 3})
    assert few.verdict == "inconclusive"
    assert few.reason.startswith("all 5 seeds agree, but so few can by chance: sign test p = 0.062")
    for seeds, word in ((6, "inconclusive"), (7, "supported")):  # at 97.5 %: 0.031, 0.016
        tables = load_tables(write(tmp_path / word, edges("TTTTS", "TSSSS", seeds), claims))
        assert [one.verdict for one in judge_all(tables, "none")] == ["supported"] * 2
        assert [one.verdict for one in judge_all(tables)] == [word] * 2


def test_differences_are_paired_on_seeds(tmp_path):
    noise = [0.1, -0.2, 0.15, 0.0]
    of, against = [0.6 + x for x in noise], [0.55 + x for x in noise]
    one = verdict(tmp_path, scores(of, against), "final_accuracy", {"difference_at_least": 0.04})
    assert numbers(one) == (0.05, 0.05, 0.05)


@pytest.mark.parametrize(
    ("of", "against", "expect", "word", "part"),
    [
        ([200] * 6, [800] * 6, {"ratio_at_most": 0.5}, "supported", "0.125x to 0.286x"),
        ([800] * 6, [200] * 6, {"ratio_at_most": 0.5}, "refuted", "3.5x to 8x"),
        ([200] * 6, [200] * 6, {"ratio_at_most": 1}, "inconclusive", "0.5x to 2x"),  # evaluations are apart
        ([200] * 6, [None] * 6, {"ratio_at_most": 0.5}, "supported", "0x to 0.2x"),  # more than 1,000 steps
        (
            [900] * 6,
            [None] * 6,
            {"ratio_at_most": 0.5},
            "inconclusive",
            "6 of 6 seeds never reach the target",
        ),
        ([900] * 6, ["D"] * 6, {"ratio_at_most": 0.5}, "supported", "0x to 0x"),  # it never will
        ([200] * 6, [800] * 3 + [None] * 3, {"ratio_at_most": 0.5}, "supported", "0x to 0.286x"),
        ([None] * 6, [None] * 6, {"ratio_at_most": 0.5}, "inconclusive", "never reach the target (of: batch"),
        ([200] * 5, [800] * 5, {"ratio_at_most": 0.5}, "inconclusive", "median needs 6 seeds"),
        (
            [200] * 5,
            [None] * 3 + [800] * 2,
            {"ratio_at_most": 0.5},
            "inconclusive",
            "3 of 5 seeds never reach",
        ),
    ],
)
def test_steps_to_a_target(tmp_path, of, against, expect, word, part):
    measure = {"name": "steps_to_target", "target": 0.9}
    one = verdict(tmp_path, curves(of, against), measure, expect)
    assert one.verdict == word, one.reason
    assert part in one.reason
    assert one.measure.target == 0.9


def test_steps_without_metrics_are_not_judged_but_the_rest_is(tmp_path):
    claims = [
        claim({"name": "steps_to_target", "target": 0.9}, id="a", expect={"ratio_at_most": 1}),
        claim("final_accuracy", id="b", expect={"difference_at_least": -1}),
    ]
    write(tmp_path, curves([200] * 6, [300] * 6), claims)
    (tmp_path / "metrics.csv").unlink()
    first, second = judge_all(load_tables(tmp_path))
    assert (first.verdict, second.verdict) == ("inconclusive", "supported")
    assert "metrics.csv has no rows" in first.reason


@pytest.mark.parametrize(
    ("of", "against", "word"), [("TTTTT", "SSSSS", "supported"), ("TTSSS", "TTSSS", "refuted")]
)
def test_shares_that_train(tmp_path, of, against, word):
    one = verdict(tmp_path, edges(of, against, seeds=8), "share_that_trains", {"difference_at_least": 0.3})
    assert one.verdict == word
    assert one.n == 8
    half = 2.364624 * math.sqrt(2 / 5**2 / 12 / 8)  # t with 7 degrees; the variance of two rounded shares
    assert numbers(one) == (one.estimate, one.estimate - half, one.estimate + half)
    assert one.estimate == (1 if word == "supported" else 0)


@pytest.mark.parametrize(
    ("values", "expect", "word"),
    [
        ([0.5, 0.6, 0.8], {"increases": True}, "supported"),
        ([0.5, 0.6, 0.8], {"decreases": True}, "refuted"),
        ([0.8, 0.6, 0.5], {"decreases": True}, "supported"),
        ([0.5, 0.9, 0.8], {"increases": True}, "refuted"),  # not monotone, though the slope is positive
        ([0.5, 0.5, 0.5], {"increases": True}, "inconclusive"),  # a slope of 0 in all seeds proves nothing
        ([0.5, 0.6, 0.8], {"slope_at_least": 0.09}, "supported"),  # 0.1 for each layer
        ([0.5, 0.6, 0.8], {"slope_at_most": 0.09}, "refuted"),
    ],
)
def test_trends(tmp_path, values, expect, word):
    one = verdict(tmp_path, deep(values), "final_accuracy", expect, over="model.depth")
    assert one.verdict == word, one.reason
    if word == "refuted" and values == [0.5, 0.9, 0.8]:
        assert "moves the other way from depth 2 to depth 4" in one.reason


def test_a_slope_is_per_unit_or_per_decade_of_the_axis(tmp_path):
    one = verdict(
        tmp_path / "a", deep([0.5, 0.6, 0.8]), "final_accuracy", {"slope_at_least": 0}, over="model.depth"
    )
    assert one.estimate == pytest.approx(0.1)
    runs = deep([0.5, 0.6, 0.7, 0.8], key="model.init.std", places=(0.001, 0.01, 0.1, 1))
    one = verdict(tmp_path / "b", runs, "final_accuracy", {"slope_at_least": 0}, over="model.init.std")
    assert one.estimate == pytest.approx(0.1)
    runs = [one for depth, word in ((1, "TTTT"), (2, "TTTS"), (3, "TTSS")) for seed in range(6)
            for one in rate_runs({"model.depth": depth}, seed, [0.01, 0.1, 1, 10], word)]  # fmt: skip
    of = {"optimizer.lr": [0.01, 0.1, 1]}  # at depth 1 and 2 all of these train: only one end is known
    for expect, word in (({"slope_at_most": 0}, "supported"), ({"slope_at_least": -5}, "inconclusive")):
        one = verdict(tmp_path / word, runs, "max_stable_lr", expect, over="model.depth", of=of)
        assert (one.verdict, one.ci_low) == (word, -math.inf)


def test_a_control_that_did_not_train(tmp_path):
    runs = scores([0.8, 0.81, 0.82], [0.5, 0.511, 0.52])
    more = {"expect": {"difference_at_least": 0.1}}
    one = verdict(tmp_path / "a", runs, "final_accuracy", **more, control_at_least=0.81)
    assert one.verdict == "supported"
    one = verdict(tmp_path / "b", runs, "final_accuracy", **more, control_at_least=0.815)
    assert one.verdict == "inconclusive"
    assert one.reason.startswith(  # the mean, not the best run, which has 0.82
        "the control did not train (of: mean final test accuracy at its own best rate 0.81, less than 0.815)"
    )
    assert one.estimate == pytest.approx(0.3, abs=0.001)
    one = verdict(
        tmp_path / "c", runs, "final_accuracy", **more, control_at_least=0.8, control=["of", "against"]
    )
    assert "the control did not train (against" in one.reason


def test_one_verdict_for_each_value(tmp_path):
    runs = []
    for depth, of in ((3, "TTTTS"), (5, "TSSSS")):
        for cell, outcomes in ((BN, of), (PLAIN, "TSSSS")):
            for seed in range(6):
                runs += rate_runs({"model.depth": depth, **cell}, seed, RATES, outcomes)
    expect = {"ratio_at_least": 3}
    found = verdicts(tmp_path, runs, "max_stable_lr", expect, for_each=["model.depth"])
    assert [(one.group, one.verdict) for one in found] == [
        ("depth 3", "supported"),
        ("depth 5", "inconclusive"),
    ]
    assert found[0].statement == "It is so. (depth 3)"
    both = verdict(tmp_path / "all", runs, "max_stable_lr", expect)  # without: the mean over the depths
    assert numbers(both) == (math.sqrt(1000), math.sqrt(10), math.sqrt(100000))
    assert "mean over 2 cells" in both.reason


def test_a_key_that_the_normalization_sets_matches_every_value(tmp_path):
    runs = []
    for activation, norm, value in (("relu", "none", 0.8), ("sigmoid", "none", 0.7), ("selu", "selu", 0.9)):
        cell = {"model.activation": activation, "model.norm": norm}
        runs += [run(cell, seed, final_test_accuracy=value) for seed in range(3)]
    of = {"model.norm": "selu"}
    for against, gain in (({"model.norm": "none", "model.activation": "relu"}, 0.1), (PLAIN, 0.15)):
        one = verdict(
            tmp_path / str(gain), runs, "final_accuracy", {"difference_at_least": 0}, of=of, against=against
        )
        assert one.estimate == pytest.approx(gain)
    of = {"model.norm": "selu", "model.activation": "relu"}  # a filter on such a key passes over it, and then
    # activations are not matched: it is compared with the mean of both plain nets
    one = verdict(tmp_path / "x", runs, "final_accuracy", {"difference_at_least": 0}, of=of, against=PLAIN)
    assert one.estimate == pytest.approx(0.15)


def test_an_option_that_a_variant_lacks_matches_every_value(tmp_path):
    runs = [run(PLAIN | {"model.norm.eps": None}, seed, final_test_accuracy=0.5) for seed in range(3)]
    for eps, value in ((1e-5, 0.8), (1e-3, 0.6)):
        runs += [run(BN | {"model.norm.eps": eps}, seed, final_test_accuracy=value) for seed in range(3)]
    one = verdict(tmp_path, runs, "final_accuracy", {"difference_at_least": 0})
    assert one.estimate == pytest.approx(0.2)
    found = verdicts(
        tmp_path, runs, "final_accuracy", {"difference_at_least": 0}, for_each=["model.norm.eps"]
    )
    assert [one.estimate for one in found] == pytest.approx([0.3, 0.1])


@pytest.mark.parametrize(("at", "gain"), [("own_best", 0.2), ("equal_rates", -0.15)])
def test_at_ones_own_best_rate_or_at_equal_rates(tmp_path, at, gain):
    table = {(0.1, "none"): 0.7, (1, "none"): 0.5, (0.1, "batchnorm"): 0.0, (1, "batchnorm"): 0.9}
    val = {(0.1, "none"): 0.9, (1, "none"): 0.1, (0.1, "batchnorm"): 0.2, (1, "batchnorm"): 0.3}
    runs = [
        run({"model.norm": norm, "optimizer.lr": rate}, seed, final_test_accuracy=value,
            final_val_accuracy=val[rate, norm])
        for (rate, norm), value in table.items()
        for seed in range(3)
    ]  # fmt: skip
    one = verdict(tmp_path, runs, {"name": "final_accuracy", "at": at}, {"difference_at_least": -1})
    assert one.estimate == pytest.approx(gain)
    assert ("final val accuracy" in one.reason) == (at == "own_best")


def test_holms_correction_is_named_and_stricter(tmp_path):
    # the t interval of differences 0.8, 1, 1.2 (times 0.01) excludes 0 at 95 %, not at 98.3 %
    weak = scores([0.508, 0.510, 0.512], [0.5] * 3)
    expect = {"difference_at_least": 0.0045}
    claims = [claim("final_accuracy", id=f"C{i}", expect=expect) for i in range(3)]
    tables = load_tables(write(tmp_path / "weak", weak, claims))
    assert [one.verdict for one in judge_all(tables, "none")] == ["supported"] * 3
    for one in judge_all(tables):
        assert one.verdict == "inconclusive"
        assert one.reason.startswith("supported by itself, but not with Holm's correction for 3 verdicts")
    tables = load_tables(write(tmp_path / "one", weak, claims[:1]))
    assert "Holm" not in judge_all(tables)[0].reason
    claims = [claim("final_accuracy", id=f"C{i}", expect={"difference_at_least": -1.0 * i}) for i in (1, 2)]
    for one in judge_all(
        load_tables(write(tmp_path / "clear", weak, [*claims, claim("final_accuracy", expect=expect)]))
    ):
        assert one.verdict == "supported"  # stepwise: the last is held to 95 % alone
        assert one.reason.endswith("Holm's correction for 3 verdicts")


def test_holm_asks_for_the_same_word_at_the_stricter_level():
    def one(at_95, stricter):
        made = Claim.model_validate(claim("final_accuracy", expect={"increases": True}, over="model.depth"))
        words = {0.95: at_95}
        return Verdict(
            *("C", "It is so.", at_95, 1, 1, 1, 5, "why", made, made.measure, {}, "1 step"),
            at_level=lambda level: words.get(level, stricter),
        )

    flips, holds = one("refuted", "supported"), one("refuted", "refuted")
    weak = one("inconclusive", "supported")  # must not use up a step
    found = holm([flips, holds, weak])
    assert [one.verdict for one in found] == ["inconclusive", "refuted", "inconclusive"]
    assert "refuted by itself, but not with Holm's correction for 3 verdicts" in found[0].reason


def test_holm_does_not_count_what_nothing_decides(tmp_path):
    found = verdicts(tmp_path, edges("TTTTS", "SSSSS", 5), "max_stable_lr", {"ratio_at_least": 3})
    assert holm([*found, *found]) == [*found, *found]


def test_a_config_in_the_results_that_was_changed_by_hand(tmp_path):
    write(tmp_path, scores([0.9] * 3, [0.8] * 3), [claim("final_acuracy", expect={"difference_at_least": 0})])
    with pytest.raises(ConfigError, match=r"config.yaml: claims.0.measure.*mend it"):
        judge_all(load_tables(tmp_path))


def test_what_cannot_be_compared_says_why(tmp_path):
    runs = scores([0.9] * 3, [0.8] * 3)
    expect = {"difference_at_least": 0}
    one = verdict(tmp_path / "a", runs, "final_accuracy", expect, of={"model.norm": "layernorm"})
    assert "no run of 'of: layernorm' has a result" in one.reason
    one = verdict(tmp_path / "b", runs, "final_accuracy", expect, of={"model.depth": 3})
    assert "no column model.depth" in one.reason
    one = verdict(tmp_path / "c", runs, "max_stable_lr", {"ratio_at_least": 1})
    assert "no column optimizer.lr" in one.reason
    below = [{**one, "layers": [(0, "a", "activations.mean", -1.0)]} for one in runs]
    probe = {"name": "probe", "probe": "activations", "quantity": "activations.mean", "step": 0}
    one = verdict(tmp_path / "d", below, probe, {"ratio_at_least": 1})
    assert one.reason.startswith("a logarithm needs values of 0 or above")
