# ruff: noqa: E501  (tables with one case in a line)
"""Claims that no run could ever decide are refused before anything trains, each with its place and reason."""

import pytest
from helpers.config import BASE, complaint, experiment

SWEEP = "sweep: {model.norm: [none, batchnorm, selu], model.norm.eps: [1e-5, 1e-3], model.depth: [1, 2], optimizer.lr: [0.1, 1, 10]}\n"
GOOD = {
    "id": "C",
    "statement": "x",
    "measure": "max_stable_lr",
    "of": "{model.norm: batchnorm}",
    "against": "{model.norm: none}",
    "expect": "{ratio_at_least: 3}",
}


def text(**changes):
    """Return a sweep and one claim, one key in a line (the claim's first in line 9)."""
    parts = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    lines = [f"{'  - ' if not i else '    '}{key}: {value}" for i, (key, value) in enumerate(parts.items())]
    return SWEEP + "claims:\n" + "\n".join(lines) + "\n"


def test_a_good_claim_passes():
    assert experiment(text()).claims[0].measure.name == "max_stable_lr"


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"measure": "max_stabel_lr"}, "a.yaml:11:14: claims[0].measure: 'max_stabel_lr' is unknown; did you mean 'max_stable_lr'? one of: max_stable_lr, "),
        ({"measure": "{name: final_accuracy, prat: val}", "expect": "{difference_at_least: 0}"}, "claims[0].measure.prat: 'prat' is an unknown key; did you mean 'part'?"),
        ({"measure": "steps_to_target"}, "exactly one of them"),
        ({"of": "{model.nrm: batchnorm}"}, "a.yaml:12:10: claims[0].of.model.nrm: 'nrm' is an unknown key; did you mean 'norm'?"),
        ({"of": "{model.width: 8}"}, "a.yaml:12:10: claims[0].of.model.width: 'model.width' is not swept here; did you mean 'model.depth'? one of: model.norm, "),
        ({"of": "{model.norm: batchnrm}"}, "a.yaml:12:9: claims[0].of: no cell of the sweep is in it; model.norm is never batchnrm; there are: none, batchnorm, selu"),
        ({"against": "{model.norm: none, model.depth: [7, 8]}"}, "a.yaml:13:14: claims[0].against: no cell of the sweep is in it; model.depth is never 7, 8; there are: 1, 2"),
        ({"against": "{model.norm: [none, batchnorm]}"}, "a.yaml:13:14: claims[0].against: has cells that 'of' also has"),
        ({"of": "{model.norm: batchnorm, seed: [0, 1]}", "against": "{model.norm: none, seed: 2}"}, "a.yaml:13:14: claims[0].against: shares no seed with 'of' (2 and 0, 1)"),
        ({"of": "{model.norm: batchnorm, seed: 9}"}, "a.yaml:12:9: claims[0].of: no seed is in it; there are: 0, 1, 2"),
        ({"measure": "{name: probe, probe: gradients, quantity: gradients.norm, aggregate: mean}"}, "a.yaml:11:14: claims[0].measure: the probe 'gradients' is off; add it: 'probes: [gradients]'"),
        ({"measure": "{name: final_loss, part: val}"}, "claims[0].measure: there is no validation split; set data.val_size"),
        ({"expect": "{difference_at_least: 1}"}, "asks for a difference of max_stable_lr, which has none; allowed: a ratio"),
        ({"for_each": "[model.width]"}, "a.yaml:15:16: claims[0].for_each: 'model.width' is not swept here"),
        ({"control": "[off]"}, "control: 'off' is not a group; allowed: of, against"),
        ({"control": "[{model.depth: 5}]"}, "claims[0].control[0]: no cell of the sweep is in it"),
        ({"against": None, "over": "model.norm", "expect": "{increases: true}"}, "claims[0].over: has the values batchnorm; a trend"),
        ({"against": None, "of": "{model.depth: 1}", "over": "model.depth", "expect": "{increases: true}"}, "claims[0].over: has only the value 1; a trend needs at least two"),
        ({"against": None, "over": "model.depth", "expect": "{increases: false}"}, "increases"),
        ({"against": "{value: x}"}, "allowed: {value: <number>} or {key: value}"),
        ({"against": "{value: 1, model.norm: none}"}, "allowed: {value: <number>} or {key: value}"),
        ({"against": "{value: 0}"}, "found value 0; a ratio needs a number above 0"),
        ({"against": "{value: 1}", "control": "[against]"}, "'against' is not a group of this claim"),
        ({"against": "{value: 1}", "contrast": "{of: {model.depth: 1}, against: {model.depth: 2}}"}, "contrast: needs 'against: {key: value}'"),
        ({"contrast": "{of: {model.depth: 1}, against: {model.depth: 1}}"}, "are the same runs"),
        ({"contrast": "{of: {model.depth: 1}, against: {model.norm: none}}"}, "contrast: against names model.norm, which 'of' or 'against' name already"),
        ({"contrast": "{of: {model.dpth: 1}, against: {model.depth: 2}}"}, "claims[0].contrast.of.model.dpth: 'dpth' is an unknown key; did you mean 'depth'?"),
        ({"contrast": "{of: {model.width: 1}, against: {model.depth: 2}}"}, "'model.width' is not swept here"),
        ({"contrast": "{of: {model.depth: 1}, against: {model.depth: 9}}"}, "no cell of the sweep is in it; model.depth is never 9"),
        ({"contrast": "{of: {model.depth: 1}}"}, "contrast.against"),
        ({"contrast": "{of: {model.depth: 1}, against: {model.depth: [1, 2]}}"}, "has cells that 'of' also has"),
        ({"at_steps": "[0.5, 0.5]"}, "at_steps: found 0.5; allowed: each share once"),
        ({"at_steps": "[0]"}, "at_steps[0]: found 0; allowed: greater than 0"),
        ({"at_steps": "[1.5]"}, "at_steps[0]: found 1.5; allowed: "),
        ({"estimator": "mean"}, "claims[0].estimator: 'mean' is unknown; did you mean 'median'? one of: t, median, signed_rank"),
    ],
)  # fmt: skip
def test_a_claim_that_nothing_could_decide(changes, part):
    assert part in complaint(text(**changes))


def test_a_measure_over_rates_needs_rates():
    sweep = "sweep: {model.norm: [none, batchnorm]}\n"
    assert "looks at several rates, and optimizer.lr is not swept" in complaint(text().replace(SWEEP, sweep))


def test_keys_that_a_variant_does_not_choose_match_every_filter():
    base = BASE.replace("activation: relu", "activation: relu, norm: none")
    sweep = SWEEP.replace("{model.norm:", "{model.activation: [sigmoid, relu], model.norm:")
    of = "{model.norm: selu, model.activation: relu, model.norm.eps: 1e-3}"
    assert experiment(text(of=of).replace(SWEEP, sweep), base=base).claims


@pytest.mark.parametrize(
    "changes",
    [
        {"against": "{value: 1}"},
        {"contrast": "{of: {model.depth: 1}, against: {model.depth: 2}}"},
        {"at_steps": "[0.25, 0.5, 1]"},
        {"estimator": "median"},
    ],
)
def test_other_forms_of_a_good_claim(changes):
    assert experiment(text(**changes)).claims
