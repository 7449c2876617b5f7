"""A config from Python: a dict, a `Config` or an experiment gives what a file gives, errors name the key."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import yaml
from helpers.config import BASE, CLAIM, CLAIM_SWEEP, SWEEPS

from normbench.config import Config, config_name, dump_config, load_config, parse_config
from normbench.config.loader import MAX_NODES
from normbench.errors import ConfigError

PLAIN = {
    "name": "test",
    "data": {"name": "digits", "batch_size": 20},
    "model": {"name": "mlp", "depth": 2},
    "train": {"steps": 20, "eval_every": 10},
}


@pytest.mark.parametrize("sweep", [*SWEEPS, f"{CLAIM}{CLAIM_SWEEP}"])
def test_a_dict_gives_the_experiment_of_its_file(sweep):
    of_file = parse_config(BASE + sweep)
    of_dict = load_config(of_file.raw)
    assert dump_config(of_dict) == dump_config(of_file)
    assert of_dict.cells == of_file.cells
    assert load_config(of_file).cells == of_file.cells


def test_values_of_numpy_and_tuples_are_those_of_python():
    rates = np.array([0.5, 1.0])
    sweep = {"optimizer.lr": rates, "model.depth": range(1, 3), "model.norm": ("none", "batchnorm")}
    train = {"steps": np.int64(20), "eval_every": 10}
    found = load_config({**PLAIN, "train": train, "sweep": sweep})
    assert found.raw["sweep"] == {
        "optimizer.lr": [0.5, 1.0],
        "model.depth": [1, 2],
        "model.norm": ["none", "batchnorm"],
    }
    assert found.settings.train.steps == 20


def test_a_typed_config_keeps_what_was_given_and_no_defaults():
    data, model, train = PLAIN["data"], PLAIN["model"], PLAIN["train"]
    typed = Config(name="test", data=data, model=model, train=train, sweep={"model.norm": ["selu"]})
    assert load_config(typed).cells == load_config({**PLAIN, "sweep": {"model.norm": ["selu"]}}).cells


def test_overrides_count_beside_a_dict():
    found = load_config(PLAIN, ["train.steps=40", "name=other"])
    assert (found.name, found.settings.train.steps) == ("other", 40)
    assert config_name(PLAIN, ["name=other"]) == "other"
    assert config_name({"data": "digits"}) is None


def test_the_dict_is_not_changed():
    before = yaml.dump(PLAIN)
    load_config(PLAIN, ["train.steps=40"])
    assert yaml.dump(PLAIN) == before


def nested(levels):
    return {"x": nested(levels - 1)} if levels else 1


def test_a_path_may_be_an_object(tmp_path):
    data = {"name": "image_folder", "root": PurePosixPath(tmp_path)}
    with pytest.raises(ConfigError, match=rf"^config: data\.root: {tmp_path} has no folder 'train'"):
        load_config({**PLAIN, "data": data})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"model": {"name": "mlp", "depht": 1}}, "config: model.depht: 'depht' is an unknown key; did you"),
        ({"train": {"steps": "20"}}, "config: train.steps: found '20'; allowed: a whole number"),
        ({"seeds": float("nan")}, "config: seeds: 'nan' is not a finite number"),
        ({"optimizer": {"lr": np.float64("inf")}}, "config: optimizer.lr: 'inf' is not a finite number"),
        ({"seeds": 10**30}, "config: seeds: too large for a whole number; at most 18 digits"),
        ({"title": object()}, "config: title: found a value of type object; allowed: numbers, texts"),
        ({"sweep": {"model.norm": [len]}}, "config: sweep.model.norm.0: found a value of type builtin_f"),
        ({"model": {1: 2}}, "config: model: the key 1 is no text; keys are words"),
        ({"title": "\ud800"}, "config: title: half of a surrogate pair"),
        ({"sweep": nested(60)}, "config: sweep.x.x: nested deeper than 40 levels"),
        ({"sweep": {"optimizer.lr": range(MAX_NODES)}}, "config: more than 100,000 values; use fewer"),
    ],
)
def test_what_is_wrong_is_told_with_its_key(change, text):
    with pytest.raises(ConfigError) as error:
        load_config({**PLAIN, **change})
    assert text in str(error.value)


@pytest.mark.parametrize("given", [None, [1], 3])
def test_what_is_no_config_is_refused(given):
    with pytest.raises(ConfigError, match=r"^config: found .*; allowed: a mapping with the keys name, title"):
        load_config(given)


def test_a_file_still_names_its_lines(tmp_path):
    path = Path(tmp_path, "a.yaml")
    path.write_text(BASE.replace("depth", "depht"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"a\.yaml:4:\d+: model\.depht"):
        load_config(path)
