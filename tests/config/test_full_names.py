"""Short names and names in another case: taken wherever a name is looked up, recorded in full."""

from __future__ import annotations

from typing import ClassVar, Literal

import pytest
from torch import nn

from normbench.config import dump_config, parse_config
from normbench.data import DATASETS
from normbench.errors import NormbenchError
from normbench.nn.layers import ACTIVATIONS
from normbench.norms import NORMS, Normalization
from normbench.norms.batchnorm import BatchNorm
from normbench.planning.plan import make_plan
from normbench.registry import full_name, restored

FULL = """name: s
seeds: 1
data: {name: digits, standardize: feature}
model: {name: mlp, depth: 1, width: 8, norm: groupnorm, activation: relu, init: {scheme: he}}
optimizer: {name: sgd, lr: 0.1, schedule: cosine}
train: {steps: 10, eval_every: 5}
probes: [gradients]
sweep:
  model.norm: [batchnorm, {name: layernorm, affine: false}, none, weightnorm]
  zip: [{model.activation: [relu, tanh], optimizer: [sgd, adam]}]
  optimizer.lr: [0.1, 1]
  exclude: [{model.norm: weightnorm, optimizer.lr: 1}]
  include: [{model.norm: instancenorm, model: cnn, data.standardize: channel}]
claims:
- id: a
  statement: x
  measure: final_accuracy
  of: {model.norm: batchnorm}
  against: {model.norm: [layernorm, none]}
  control: [of, {model.norm: batchnorm}]
  expect: {difference_at_least: 0}
"""
SHORT = (
    FULL.replace("digits", "Digits").replace("feature", "Feature").replace("channel", "CHANNEL")
    .replace("mlp", "MLP").replace("cnn", "CNN").replace("groupnorm", "gn").replace("relu", "ReLU")
    .replace("scheme: he", "scheme: He").replace("sgd", "SGD").replace("adam", "Adam")
    .replace("cosine", "Cosine").replace("[gradients]", "[{name: Gradients}]").replace("tanh", "Tanh")
    .replace("{model.norm: batchnorm}", "{model.norm: BatchNorm}").replace("batchnorm,", "bn,")
    .replace("layernorm", "LN").replace("weightnorm", "wn").replace("instancenorm", "in")
    .replace("none", "None").replace("final_accuracy", "Final_Accuracy")
)  # fmt: skip


def test_all_of_a_config_may_be_written_short_and_is_recorded_in_full():
    full, short = parse_config(FULL), parse_config(SHORT)
    written = {"gradients": {"name": "gradients"}}
    assert dump_config(short).replace("- name: gradients", "- gradients") == dump_config(full), written
    assert [cell.values for cell in short.cells] == [cell.values for cell in full.cells]
    ids = [[run.run_id for run in make_plan(one, None, "cpu").runs] for one in (full, short)]
    assert ids[0] == ids[1]


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("model.norm=bn", "batchnorm"),
        ("model.norm.name=Gn", "groupnorm"),
        ("model.norm={name: LN}", "layernorm"),
        ("sweep.model.norm=[wn]", "weightnorm"),
    ],
)
def test_overrides_take_short_names(override, value):
    text = "name: s\ndata: digits\nmodel: mlp\n"
    (cell,) = parse_config(text, overrides=[override]).cells
    assert cell.settings.model.norm.name == value


def test_names_are_looked_up_in_any_case_outside_of_configs():
    assert NORMS["BN"] is BatchNorm
    assert DATASETS["MNIST"].key() == "mnist"
    assert type(NORMS["batchnorm"](name="batchnorm")) is BatchNorm
    with pytest.raises(NormbenchError, match="'batch_norm' is unknown; did you mean 'batchnorm'"):
        NORMS["batch_norm"]


@pytest.mark.parametrize("name", list(NORMS))
def test_each_name_stands_for_one_thing(name):
    for own in (name, *vars(NORMS[name]).get("short_names", ())):
        for form in (own, own.upper(), own.capitalize()):
            assert full_name(NORMS.entries, form) == name


def norm_class(name, *short):
    """Return a normalization with this name and these short names."""
    names = {"name": Literal[name], "short_names": ClassVar[tuple[str, ...]]}
    body = {"__doc__": "Mine.", "__annotations__": names, "__module__": __name__, "name": name}
    return type("Mine", (Normalization,), {**body, "short_names": short})


def test_a_plug_in_may_have_short_names_and_ids_are_those_of_the_full_name():
    text = "name: s\ndata: digits\nmodel: {name: mlp, norm: mine}\n"
    with restored(NORMS.entries):
        NORMS.add(norm_class("mine", "mn"))
        both = [parse_config(text), parse_config(text.replace("mine", "MN"))]
        assert [one.cells[0].settings.model.norm.name for one in both] == ["mine", "mine"]


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (("mine", "bn"), "'bn' names the normalization 'batchnorm' already"),
        (("bn",), "'bn' names the normalization 'batchnorm' already"),
        (("BatchNorm",), "'BatchNorm' names the normalization 'batchnorm' already"),
        (("mine", "LayerNorm"), "'LayerNorm' names the normalization 'layernorm' already"),
        (("batchnorm",), "the normalization 'batchnorm' is there already"),
    ],
)
def test_a_taken_name_is_refused_at_registration(names, taken):
    before = dict(NORMS.entries)
    with pytest.raises(NormbenchError) as caught:
        NORMS.add(norm_class(*names))
    assert taken in str(caught.value)
    assert NORMS.entries == before


def test_activations_count_short_names_too():
    class Short(nn.ReLU):
        short_names = ("sh",)

    with restored(ACTIVATIONS):
        ACTIVATIONS.add("longer")(Short)
        text = "name: s\ndata: digits\nmodel: {name: mlp, activation: SH}\n"
        assert parse_config(text).cells[0].settings.model.activation == "longer"
        with pytest.raises(NormbenchError, match="'sh' names the activation 'longer' already"):
            ACTIVATIONS.add("sh")(nn.ReLU)
    with pytest.raises(NormbenchError, match="'RELU' names the activation 'relu' already"):
        ACTIVATIONS.add("RELU")(nn.ReLU)


def test_a_subclass_does_not_take_its_base_s_short_names():
    class Own(BatchNorm):
        """Mine."""

        name: Literal["own"] = "own"

    with restored(NORMS.entries):
        NORMS.add(Own)
        assert full_name(NORMS.entries, "bn") == "batchnorm"
