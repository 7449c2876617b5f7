"""What `plan` says that claims can decide, against closed forms."""

import json
import math

import numpy as np
import pytest
from helpers.cli import call, config_file
from helpers.config import BASE, complaint, experiment
from helpers.results import claim, run, write
from scipy import stats

from normbench.analysis.sequential import spreads_in
from normbench.planning.decidable import decidable, fewest, notes

SWEEP = (
    "sweep: {model.norm: [none, batchnorm], model.depth: [1, 2, 3], optimizer.lr: [0.1, 1, 10]}\nclaims:\n"
)
CLAIM = (
    "  - {{id: {id}, statement: x, measure: {measure}, of: {{model.norm: batchnorm}}, "
    "against: {{model.norm: none}}, {more}}}\n"
)
ERROR = 4 * 0.0224  # standard errors of 500 experiments


def found(*claims, seeds=5, spread=None, sweep=SWEEP):
    text = sweep + "".join(CLAIM.format(id=f"C{i}", **one) for i, one in enumerate(claims))
    return decidable(experiment(text, base=BASE.replace("seeds: 3", f"seeds: {seeds}")), spread)


def one(measure="final_accuracy", more="expect: {difference_at_least: 0}"):
    return {"measure": measure, "more": more}


@pytest.mark.parametrize(
    ("estimator", "verdicts", "n"),
    [
        ("t", 1, 3),
        ("t", 50, 3),
        ("median", 1, 6),
        ("median", 6, 8),
        ("median", 25, 10),
        ("signed_rank", 9, 9),
    ],
)
def test_the_fewest_seeds(estimator, verdicts, n):
    assert fewest(estimator, 0.05 / verdicts) == n


def test_a_median_needs_more_seeds_than_there_are():
    (told,) = found(one(more="expect: {difference_at_least: 0}, estimator: median, for_each: [model.depth], "
                        "at_steps: [0.25, 0.5, 1]"), seeds=3)  # fmt: skip
    assert (told.verdicts, told.of, told.needed) == (9, 9, 9)
    assert [power.power for power in told.powers] == [0, 0]
    (sentence,) = notes([told])
    assert sentence.startswith("with n = 3 and 9 verdicts no median here can be decided; 9 seeds can")
    assert notes(found(one(), seeds=3)) == []
    assert "1 verdict no mean" in notes(found(one(), seeds=2))[0]


@pytest.mark.parametrize("n", [5, 10])
def test_the_power_of_a_mean_is_that_of_the_noncentral_t(n):
    spread, alpha = 0.5, 0.05 / 3
    (told,) = found(
        one("best_loss", "expect: {ratio_at_most: 2}, for_each: [model.depth]"), seeds=n, spread=spread
    )
    quantile = stats.t.ppf(1 - alpha / 2, n - 1)
    for factor, power in zip((2, 3), told.powers, strict=True):
        exact = stats.nct.sf(quantile, n - 1, math.log(factor) / spread * math.sqrt(n))
        assert power.truth == f"{factor} times the bound"
        assert power.power == pytest.approx(exact, abs=ERROR)


def test_the_power_of_a_difference_is_told_in_spreads():
    plain, other = (found(one(), seeds=8, spread=spread)[0] for spread in (None, 7.0))
    assert plain == other  # a number in logarithms is not that of accuracies
    assert [power.truth for power in plain.powers] == [
        "1 spread beyond the bound",
        "2 spreads beyond the bound",
    ]
    exact = stats.nct.sf(stats.t.ppf(0.975, 7), 7, math.sqrt(8))
    assert plain.powers[0].power == pytest.approx(exact, abs=ERROR)
    bound = one(more="expect: {difference_at_most: -0.3}")
    assert found(bound, seeds=8)[0].powers[0].power == pytest.approx(exact, abs=ERROR)


def test_the_power_of_a_median_is_binomial():
    (told,) = found(one(more="expect: {difference_at_least: 0.1}, estimator: median"), seeds=8)
    share = stats.norm.cdf(1)  # of seeds beyond the bound; at 95 % all 8 or 7 of them must be
    exact = stats.binom.sf(7, 8, share)
    assert told.powers[0].power == pytest.approx(exact, abs=ERROR)


def test_a_coarse_grid_of_rates_costs_power():
    rates = one("max_stable_lr", "expect: {ratio_at_least: 3}")
    coarse, none = (found(rates, seeds=10, spread=spread)[0] for spread in (0.2, None))
    assert [power.power for power in coarse.powers] == [0, 0]
    assert none.powers == ()
    fine = found(rates, seeds=10, spread=0.2, sweep=SWEEP.replace(
        "[0.1, 1, 10]", "{edge: {from: 0.01, to: 100, precision: 1.1}}"))[0]  # fmt: skip
    assert [power.power for power in fine.powers] == [1, 1]


def test_families_are_counted_by_themselves():
    each = "expect: {difference_at_least: 0}, for_each: [model.depth]"
    told = found(one(more=each), one(more=f"{each}, family: more"), one(more="expect: {equal_within: 0.1}"))
    assert [(x.family, x.verdicts, x.of) for x in told] == [(None, 3, 4), ("more", 3, 3), (None, 1, 4)]
    assert told[2].powers == ()  # a width in units of the measure, whose spread is not known


def test_equal_within_has_its_truth_in_the_middle():
    loss = one("best_loss", "expect: {equal_within: 0.5}")
    clear, noisy = (found(loss, seeds=10, spread=spread)[0].powers for spread in (0.1, 2.0))
    assert clear[0].truth == "in the middle"
    assert (clear[0].power, noisy[0].power) == (1, 0)


def test_a_spread_from_results(tmp_path):
    gains = [0.01, 0.05, 0.02, 0.07]
    runs = [
        run({"model.norm": norm}, seed, final_test_accuracy=score)
        for seed, gain in enumerate(gains)
        for norm, score in (("none", 0.5), ("batchnorm", 0.5 + gain))
    ]
    claims = [
        claim("final_accuracy", id="C0", expect={"difference_at_least": 0}),
        claim("final_accuracy", id="C1", expect={"ratio_at_least": 1}),
    ]
    write(tmp_path / "r", runs, claims)
    difference, ratio = (np.std(gains, ddof=1), np.std(np.log1p(np.array(gains) / 0.5), ddof=1))
    assert spreads_in(tmp_path / "r") == pytest.approx({"C0": difference, "C1": ratio})
    text = BASE + SWEEP + "".join(
        CLAIM.format(id=x, measure="final_accuracy", more=f"expect: {{{kind}_at_least: 1}}")
        for x, kind in (("C0", "difference"), ("C1", "ratio"))
    )  # fmt: skip
    path = config_file(tmp_path, text)
    (answer,) = json.loads(call("plan", path, "--json", "--spread", tmp_path / "r").stdout)
    assert [x["spread"] for x in answer["claims"]] == pytest.approx([difference, ratio])
    shown = call("plan", path, "--spread", "0.3").stdout
    assert "2 verdicts" in shown
    assert "2 times the bound" in shown
    assert "see --spread" in call("plan", path).stdout
    for wrong in ("0", "-1", "nan", "wide"):
        done = call("plan", path, "--spread", wrong)
        assert (done.exit_code, "--spread: found" in done.stderr) == (2, True)


def test_one_claim_of_a_file_may_be_primary():
    two = "".join(
        CLAIM.format(id=x, **one(more="expect: {difference_at_least: 0}, primary: true")) for x in "AB"
    )
    assert "claim 'A' is primary already; allowed: one in a file" in complaint(SWEEP + two)
    several = CLAIM.format(id="A", **one(more="expect: {difference_at_least: 0}, primary: true, "
                                         "for_each: [model.depth]"))  # fmt: skip
    assert "for_each: model.depth gives several" in complaint(SWEEP + several)
    alone = CLAIM.format(id="A", **one(more="expect: {difference_at_least: 0}, primary: true, family: main"))
    (told,) = experiment(SWEEP + alone).claims
    assert (told.primary, told.family) == (True, "main")
