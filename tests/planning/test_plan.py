"""From configs to runs and stacks: ids, grouping, and what is refused."""

from __future__ import annotations

import re

import pytest
import yaml

from normbench.config import parse_config
from normbench.errors import PlanError
from normbench.planning.plan import make_plan
from normbench.planning.stacks import choose_executor, stack_size

BASE = {
    "name": "plan",
    "seeds": 2,
    "data": {"name": "digits", "train_size": 300, "test_size": 40, "batch_size": 20},
    "model": {"name": "mlp", "depth": 2, "width": 16},
    "optimizer": {"name": "sgd", "lr": 0.1},
    "train": {"steps": 100, "eval_every": 10},
}


def planned(changes=(), sweep=None, **options):
    """The plan of BASE with `(dotted key, value)` changes."""
    config = {key: dict(value) if isinstance(value, dict) else value for key, value in BASE.items()}
    for key, value in dict(changes).items():
        section, _, name = key.partition(".")
        if name:
            config[section] = {**config[section], name: value}
        else:
            config[section] = value
    if sweep:
        config["sweep"] = sweep
    return make_plan(parse_config(yaml.safe_dump(config)), **{"device": "cpu", **options})


def ids(*args, **options):
    return [run.run_id for run in planned(*args, **options).runs]


def test_ids_are_12_hex_characters_and_differ_by_seed_and_cell():
    found = ids(sweep={"optimizer.lr": [0.1, 0.2], "model.norm": ["none", "batchnorm"]})
    assert len(found) == len(set(found)) == 8
    assert all(re.fullmatch("[0-9a-f]{12}", run_id) for run_id in found)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"title": "A title"},
        {"train.trains_below": 0.7},
        {"data.root": "/tmp"},
        {"seeds": [0, 1]},
        {"model.norm": "none"},  # written out or not
        {"optimizer.momentum": 0.0},
    ],
    ids=str,
)
def test_ids_do_not_depend_on_what_cannot_change_numbers(changes):
    assert ids(changes) == ids()


def test_ids_do_not_depend_on_device_and_executor():
    assert ids(executor="looped") == ids(executor="vectorized") == ids()
    assert ids(data_dir="/tmp") == ids()


def test_ids_stay_the_same_when_a_sweep_grows():
    few = ids(sweep={"optimizer.lr": [0.1]})
    more = ids({"seeds": 4}, sweep={"optimizer.lr": [0.1, 0.5], "model.norm": ["none", "selu"]})
    assert set(few) < set(more)


CHANGES = {
    "data": {
        **{"train_size": 299, "val_size": 10, "test_size": 41, "batch_size": 21, "standardize": "feature"},
        **{"binarize": True, "split_seed": 1, "augment": {"flip": True}},
    },
    "model": {
        **{"depth": 3, "width": 17, "activation": "tanh", "norm": "batchnorm", "bias": False},
        **{"dropout": {"rate": 0.1, "placement": "input"}, "init": {"scheme": "he"}},
        "name": "cnn",
    },
    "optimizer": {
        **{"lr": 0.2, "momentum": 0.5, "nesterov": True, "weight_decay": 0.1, "clip_norm": 1.0},
        **{"schedule": "cosine", "name": "adam"},
    },
    "train": {"steps": 101, "eval_every": 11, "eval_size": 10, "dtype": "float64"},
}


@pytest.mark.parametrize(
    ("key", "value"),
    [(f"{section}.{key}", value) for section, keys in CHANGES.items() for key, value in keys.items()],
)
def test_every_other_setting_changes_the_id(key, value):
    assert not set(ids({key: value})) & set(ids())


def test_the_seed_and_norm_options_change_the_id():
    assert not set(ids({"seeds": [7, 8]})) & set(ids())
    with_eps = {"model.norm": {"name": "batchnorm", "eps": 0.1}}
    assert not set(ids(with_eps)) & set(ids({"model.norm": "batchnorm"}))


def test_runs_that_differ_in_rates_seeds_and_starts_form_one_stack_sorted_by_seed():
    sweep = {
        "optimizer.lr": [0.1, 0.2],
        "optimizer.momentum": [0.0, 0.9],
        "model.init.gain": [1.0, 2.0],
        "model.init.scheme": ["he", "default"],
    }
    plan = planned(sweep=sweep)
    (stack,) = plan.stacks
    assert {run.run_id for run in stack.runs} == {run.run_id for run in plan.runs}
    assert [run.seed for run in stack.runs] == [0] * 16 + [1] * 16
    assert re.fullmatch("[0-9a-f]{8}", stack.stack_id)


def test_seeds_whose_stack_is_measured_as_a_whole_stand_apart():
    sweep = {"model.norm": ["none", "batchnorm"], "optimizer.lr": [0.1, 0.2]}
    plan = planned({"probes": ["cost"], "seeds": 2}, sweep=sweep)
    order = [
        (stack.runs[0].settings.model.norm.name, [run.seed for run in stack.runs]) for stack in plan.stacks
    ]
    assert order == [("none", [0, 0]), ("batchnorm", [0, 0]), ("none", [1, 1]), ("batchnorm", [1, 1])]
    assert plan.stacks_for(run.run_id for run in plan.runs)[0] == plan.stacks


@pytest.mark.parametrize(
    "sweep",
    [
        {"model.norm": ["none", "batchnorm"]},
        {"model.depth": [2, 3]},
        {"optimizer.name": ["sgd", "adam"]},
        {"data.batch_size": [20, 30]},
        {"train.steps": [10, 20]},
        {"model.norm": [{"name": "batchnorm", "eps": 0.1}, "batchnorm"]},
        {"optimizer.nesterov": [True, False], "optimizer.momentum": [0.9]},
    ],
    ids=lambda sweep: next(iter(sweep)),
)
def test_other_programs_form_other_stacks(sweep):
    assert len(planned(sweep=sweep).stacks) == 2


def test_large_groups_are_divided_evenly_and_part_of_a_plan_forms_its_own_stacks():
    plan = planned({"seeds": 100})
    assert [len(stack.runs) for stack in plan.stacks] == [50, 50]
    left = [run.run_id for run in plan.runs[:3]]
    ((stack,), _) = plan.stacks_for(left)
    assert [run.run_id for run in stack.runs] == left


def test_wide_nets_form_small_stacks_and_never_less_than_two_runs():
    settings = planned({"model.width": 4000}).runs[0].settings
    assert stack_size(settings, "cpu", None) == 2
    assert stack_size(planned().runs[0].settings, "cpu", None) == 64


def test_the_executor_follows_from_the_architecture_and_can_be_forced():
    assert planned().stacks[0].executor == "vectorized"
    cnn = {"model": {"name": "cnn", "depth": 2, "width": 4}}
    assert planned(cnn).stacks[0].executor == "looped"
    assert choose_executor(planned(cnn).runs[0].settings, "cuda") == "vectorized"
    assert planned(cnn, executor="vectorized").stacks[0].executor == "vectorized"


def test_unknown_words_are_refused_with_the_nearest():
    with pytest.raises(PlanError, match="did you mean 'looped'"):
        planned(executor="loopd")
    with pytest.raises(PlanError, match="did you mean 'cuda'"):
        planned(device="cuda:")


@pytest.mark.parametrize("norm", ["batchnorm", "mean_only_batchnorm", "weightnorm_mean_only_batchnorm"])
def test_a_batch_of_one_has_no_statistics(norm):
    with pytest.raises(PlanError, match=rf"with {norm}: .* data.batch_size must be at least 2"):
        planned({"data.batch_size": 1, "model.norm": norm})
    planned({"data.batch_size": 2, "model.norm": norm})


def test_what_serves_a_batch_of_one_is_planned():
    for norm in ("none", "layernorm", "weightnorm", "selu"):
        planned({"data.batch_size": 1, "model.norm": norm})
    cnn = {"name": "cnn", "depth": 5, "width": 4, "norm": "batchnorm"}
    planned({"data.batch_size": 1, "model": cnn})  # 2x2 pixels are left: statistics of four values


def test_each_reason_is_told_once_with_its_number_of_cells():
    with pytest.raises(PlanError) as caught:
        planned(
            {"data.batch_size": 1},
            sweep={"optimizer.lr": [0.1, 0.2], "model.norm": ["none", "batchnorm"], "model.depth": [2, 3]},
        )
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "exclude" in lines[0]
    assert all(line.endswith("(2 cells)") for line in lines[1:])
