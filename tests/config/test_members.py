"""Which cells a claim is about: those that more seeds of it train."""

import pytest
from helpers.config import experiment

from normbench.config.members import members, verdicts_of

SWEEP = """\
sweep:
  model.norm: [none, batchnorm, selu]
  model.activation: [relu, sigmoid]
  model.depth: [1, 2]
claims:
  - {{id: C, statement: x, measure: final_accuracy, {claim}}}
"""
BN, PLAIN, AT_0 = "of: {model.norm: batchnorm}", "against: {model.norm: none}", "{difference_at_least: 0}"


def cells(claim, at):
    made = experiment(SWEEP.format(claim=claim))
    found = [made.cells[place] for place in members(made.claims[0], at, made.cells)]
    return {  # SELU decides the activation
        (
            cell.values["model.norm"],
            "-" if "model.activation" in cell.decided else cell.values["model.activation"],
            cell.values["model.depth"],
        )
        for cell in found
    }


def all_of(norms=("none", "batchnorm"), activations=("relu", "sigmoid"), depths=(1, 2)):
    return {(norm, one, depth) for norm in norms for one in activations for depth in depths}


@pytest.mark.parametrize(
    ("claim", "at", "expected"),
    [
        (f"{BN}, {PLAIN}, expect: {AT_0}", {}, all_of()),
        (f"{BN}, {PLAIN}, expect: {AT_0}, for_each: [model.depth]", {"model.depth": 2}, all_of(depths=[2])),
        (
            f"of: {{model.norm: selu}}, {PLAIN}, expect: {AT_0}, for_each: [model.activation]",
            {"model.activation": "sigmoid"},
            all_of(["none"], ["sigmoid"]) | {("selu", "-", 1), ("selu", "-", 2)},
        ),
        (f"{BN}, against: {{value: 1}}, expect: {AT_0}", {}, all_of(["batchnorm"])),
        (f"{BN}, over: model.depth, expect: {{increases: true}}", {}, all_of(["batchnorm"])),
        (
            f"{BN}, {PLAIN}, expect: {AT_0}, "
            "contrast: {of: {model.depth: 1}, against: {model.depth: 2}}",
            {},
            all_of(),
        ),
        (
            f"{BN}, against: {{model.norm: none, model.depth: 1}}, expect: {AT_0}, "
            "control: [{model.norm: selu, model.depth: 2}], control_at_least: 0.5",
            {},
            all_of(["batchnorm"]) | all_of(["none"], depths=[1]) | {("selu", "-", 2)},
        ),
    ],
)
def test_the_cells_of_a_verdict(claim, at, expected):
    assert cells(claim, at) == expected


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", [{}]),
        ("for_each: [model.depth]", [{"model.depth": 1}, {"model.depth": 2}]),
        ("for_each: [model.depth, model.activation]", 4),
    ],
)
def test_the_verdicts_that_are_planned(more, expected):
    made = experiment(SWEEP.format(claim=f"{BN}, {PLAIN}, expect: {AT_0}, {more}"))
    found = verdicts_of(made.claims[0], made.cells)
    assert (len(found) if isinstance(expected, int) else found) == expected
