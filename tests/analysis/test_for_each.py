"""A side that names one value of a key of `for_each` stays beside each value of the other side."""

from __future__ import annotations

import pytest
import yaml
from helpers.results import run, write

from normbench.analysis.verify import verify
from normbench.config import parse_config
from normbench.config.members import members, verdicts_of

ACCURACIES = {"none": 0.5, "batchnorm": 0.8, "layernorm": 0.7}
CLAIM = {
    "id": "C2-norms",
    "statement": "Yes.",
    "measure": "final_accuracy",
    "of": {"model.norm": ["layernorm", "none"]},
    "against": {"model.norm": "batchnorm"},
    "for_each": ["model.norm"],
    "expect": {"difference_at_least": 0},
    "control": ["of", "against"],
    "control_at_least": 0.6,
}
CONFIG = {
    "name": "x",
    "seeds": [1, 2, 3, 4, 5, 6],
    "data": {"name": "digits", "batch_size": 20},
    "model": {"name": "mlp", "depth": 1, "width": 8},
    "optimizer": {"name": "sgd"},
    "train": {"steps": 20, "eval_every": 10},
    "sweep": {"model.norm": list(ACCURACIES), "optimizer.lr": [0.1, 1]},
}


@pytest.fixture
def judged(tmp_path):
    def of(**change):
        made = [
            run(
                {"model.norm": norm, "optimizer.lr": rate},
                seed,
                final_test_accuracy=value + seed * value / 100 - rate / 10,
            )
            for norm, value in ACCURACIES.items()
            for rate in (0.1, 1)
            for seed in CONFIG["seeds"]
        ]
        write(tmp_path, made, seeds=CONFIG["seeds"], steps=20)
        text = yaml.safe_dump({**CONFIG, "claims": [{**CLAIM, **change}]})
        (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
        return {one.group: one for one in verify(tmp_path, write=False).verdicts}

    return of


def test_each_normalization_is_compared_with_the_one_that_is_named(judged):
    found = judged()
    assert set(found) == {"layernorm", "norm none"}
    assert found["layernorm"].verdict == "refuted"
    assert found["layernorm"].estimate == pytest.approx(-0.1 * 1.035)


def test_controls_are_those_of_the_verdict(judged):
    one = judged()["norm none"]
    assert one.verdict == "inconclusive"
    assert one.reason.startswith(
        "the control did not train (of: mean final test accuracy at its own best rate 0.5"
    )


def test_a_list_of_one_value_changes_with_the_verdict(judged):
    found = judged(of={"model.norm": ["layernorm"]})
    assert found["layernorm"].estimate == pytest.approx(-0.1 * 1.035)
    assert list(found) == ["layernorm"]


def test_the_plan_has_the_same_verdicts_and_the_cells_of_both_sides():
    experiment = parse_config(yaml.safe_dump({**CONFIG, "claims": [CLAIM]}))
    (claim,) = experiment.claims
    ats = verdicts_of(claim, experiment.cells)
    assert [at["model.norm"] for at in ats] == ["none", "layernorm"]
    for at in ats:
        found = {
            experiment.cells[place].values["model.norm"] for place in members(claim, at, experiment.cells)
        }
        assert found == {"batchnorm", at["model.norm"]}
