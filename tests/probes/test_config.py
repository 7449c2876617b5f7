"""What a config may say of probes, what `plan` answers, and how a probe is found."""

from __future__ import annotations

import pytest
from helpers.engine import runs_of

from normbench.cli.commands.list import Kind, entries
from normbench.config import dump_config, parse_config
from normbench.engine.state import initial_model
from normbench.errors import ConfigError, PlanError
from normbench.planning.estimate import estimate
from normbench.planning.plan import make_plan
from normbench.probes import PROBES
from normbench.probes.view import layer_of

CONFIG = """
name: t
seeds: 2
data: {name: digits, train_size: 300, test_size: 40, batch_size: 20}
model: {name: mlp, depth: 2, width: 16}
train: {steps: 100, eval_every: 50}
"""


@pytest.mark.parametrize(
    ("probes", "message"),
    [
        ("[activation]", "7:10: probes[0]: 'activation' is unknown; did you mean 'activations'?"),
        ("[weights, {name: ics, evry: 3}]", "[1].evry: 'evry' is an unknown key; did you mean 'every'?"),
        ("[{name: activations, bins: -3}]", "7:36: probes[0].bins: found -3; allowed: at least 0 and at"),
        ("[{nme: activations}]", "7:10: probes[0]: its name is missing; add 'name: ...'"),
        ("[3]", "7:10: probes[0]: found 3; allowed: a name or a mapping with a name"),
        ("activations", "7:9: probes: found 'activations'; allowed: a list"),
        ("[ics, weights, ics]", "7:24: probes[2]: 'ics' is there already"),
        ("[{name: weights, every: 3, log: 4}]", "probes[0]: found every and log; allowed: one of"),
        ("[{name: weights, steps: []}]", "probes[0].steps: found []; allowed: steps from 0 on"),
        ("[{name: landscape, low: 3, high: 2}]", "probes[0]: found low: 3, high: 2; allowed: low below"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(probes, message):
    with pytest.raises(ConfigError) as error:
        parse_config(f"{CONFIG}probes: {probes}\n")
    assert message in str(error.value)


def test_the_resolved_config_gives_the_same_probes():
    experiment = parse_config(CONFIG + "probes: [weights, {name: sharpness, every: 20, iterations: 5}]\n")
    assert parse_config(dump_config(experiment)).probes == experiment.probes
    assert [probe.name for probe in experiment.probes] == ["weights", "sharpness"]


def test_probes_do_not_change_the_ids():
    with_probes = make_plan(parse_config(CONFIG + "probes: [weights]\n"))
    assert [run.run_id for run in with_probes.runs] == [
        run.run_id for run in make_plan(parse_config(CONFIG)).runs
    ]


@pytest.mark.parametrize(
    ("change", "probe", "reason"),
    [
        ("name: lstm, width: 4, depth: 1", "activations", "lstm with none: the net has no activations"),
        ("name: mlp, width: 16, depth: 2", "variance_shift", "mlp with none: no layer of the net"),
        ("name: mlp, width: 16, norm: whitening", "sharpness", "mlp with whitening: its eigendecomp"),
    ],
)  # fmt: skip
def test_a_probe_that_a_net_cannot_serve_is_refused_with_the_reason(change, probe, reason):
    config = CONFIG.replace("name: mlp, depth: 2, width: 16", change) + f"probes: [weights, {probe}]\n"
    with pytest.raises(PlanError, match=f"probe {probe}, {reason}"):
        make_plan(parse_config(config))


def test_where_some_cells_serve_a_probe_the_others_are_noted():
    config = CONFIG + "probes: [variance_shift]\nsweep: {model.norm: [none, batchnorm]}\n"
    plan = make_plan(parse_config(config))
    (note,) = [note for note in plan.notes if "not measured" in note]
    assert "probe variance_shift, mlp with none: no layer" in note
    assert "(1 cell)" in note


def test_steps_beyond_the_last_are_said():
    late = "probes: [{name: weights, steps: [50, 200]}]\n"
    (note,) = [note for note in make_plan(parse_config(CONFIG + late)).notes if "200" in note]
    assert "its step 200 lies beyond the last one, 100" in note
    with pytest.raises(PlanError, match="its step 200 lies beyond the last one, 100"):
        make_plan(parse_config(CONFIG + "probes: [{name: weights, steps: [200]}]\n"))


def test_a_plan_says_what_probes_cost():
    plain = estimate(make_plan(parse_config(CONFIG)))
    probed = estimate(make_plan(parse_config(CONFIG + "probes: [weights, {name: landscape, every: 10}]\n")))
    assert plain.probes == []
    weights, landscape = probed.probes
    assert (weights.measurements, landscape.measurements) == (3, 11)
    assert landscape.steps_each == 9 * 3.0  # a gradient at each of 8 points and one, without a trace
    assert landscape.share == pytest.approx(11 * 9 * 3.0 / 100)
    assert probed.flops > 2 * plain.flops
    assert probed.seconds > plain.seconds


@pytest.mark.parametrize("name", PROBES)
def test_every_probe_states_a_cost_and_is_listed(name):
    run = runs_of(model={"norm": "batchnorm"})[0]
    import torch

    net = initial_model(run, (1, 8, 8), 10, torch.zeros(2, 1, 8, 8))
    assert PROBES[name](name=name).cost(net) > 0
    (row,) = [row for row in entries(Kind.probes) if row["name"] == name]
    assert row["summary"]


@pytest.mark.parametrize(
    ("module", "layer"),
    [
        ("hidden.0.layer", "hidden.0"),
        ("hidden.3.branch.1.norm", "hidden.3.branch.1"),
        ("hidden.2.block.layer", "hidden.2"),
        ("hidden.2.gate", "hidden.2"),
        ("hidden.0.cell.input_norm.layer", "hidden.0"),
        ("classifier", "classifier"),
        ("layer", "layer"),
    ],
)
def test_a_layer_is_named_without_its_parts(module, layer):
    assert layer_of(module) == layer
