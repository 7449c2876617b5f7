"""Null as a swept value: it is not the same as an option that a variant does not have."""

import pytest
from helpers.config import BASE, complaint, experiment

GHOST = "sweep: {model.norm: [none, batchnorm], model.norm.ghost: [null, 10]}\n"
CLAIM = "claims: [{{id: C, statement: x, measure: final_accuracy, {}, expect: {{{}}}}}]"


def lacks(more, key, base=BASE):
    """Return for each cell its first value, and whether it has the key, which is null there."""
    cells = experiment(more, base=base).cells
    return {next(iter(one.values.values())): key in one.lacks for one in cells if one.values[key] is None}


def recurrent(norm):
    return BASE.replace("name: mlp, depth: 2", f"name: lstm, norm: {norm}")


@pytest.mark.parametrize(
    ("sweep", "key", "expected"),
    [
        (GHOST, "model.norm.ghost", {"none": True, "batchnorm": False}),
        (
            "sweep: {model.norm: [none, batchnorm, {name: batchnorm, frozen_from: 5}]}",
            "model.norm.frozen_from",
            {"none": True, "batchnorm": False},
        ),
        ("sweep: {optimizer.name: [sgd, adam], optimizer.clip_norm: [null, 1]}", "optimizer.clip_norm",
         {"sgd": False, "adam": False}),
        ("sweep: {model.init.scheme: [he, normal], model.init.std: [0.1, 0.2]}", "model.init.std",
         {"he": True}),
        ("sweep: {model.bias: [null, true]}", "model.bias", {None: False}),
    ],
)  # fmt: skip
def test_which_variants_do_not_have_an_option_that_is_null(sweep, key, expected):
    assert lacks(sweep, key) == expected


def test_an_option_that_is_reset_to_null_is_one_that_it_does_not_have():
    sweep = "sweep: {model.norm: [none, batchnorm], model.norm_gain: [0.1, 1]}"
    assert lacks(sweep, "model.norm_gain", recurrent("none")) == {"none": True}


def test_exclude_leaves_out_null_and_not_what_has_no_such_option():
    cells = experiment(GHOST.replace("}\n", ", exclude: [{model.norm.ghost: null}]}\n")).cells
    assert [tuple(one.values.values()) for one in cells] == [("none", None), ("batchnorm", 10)]


NULL = "{model.norm: batchnorm, model.norm.ghost: null}"
GROUPS = f"of: {{model.norm: batchnorm, model.norm.ghost: 10}}, against: {NULL}"


def test_null_and_a_number_are_two_groups():
    (claim,) = experiment(GHOST + CLAIM.format(GROUPS, "difference_at_least: 0")).claims
    assert claim.against == {"model.norm": "batchnorm", "model.norm.ghost": None}


@pytest.mark.parametrize(
    ("groups", "expect", "said"),
    [
        (GROUPS.replace("ghost: 10", "ghost: 5"), "difference_at_least: 0",
         "claims[0].of: no cell of the sweep is in it; model.norm.ghost is never 5; there are: null, 10"),
        (GROUPS.replace("ghost: 10", "ghost: [10, null]"), "difference_at_least: 0",
         "claims[0].against: has cells that 'of' also has"),
        ("of: {model.norm: batchnorm}, over: model.norm.ghost", "increases: true",
         "claims[0].over: has the values null, 10; a trend"),
    ],
)  # fmt: skip
def test_what_no_result_could_decide_is_refused(groups, expect, said):
    assert said in complaint(GHOST + CLAIM.format(groups, expect))
