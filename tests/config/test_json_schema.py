import json
from pathlib import Path

import pytest
import yaml
from helpers.config import BASE, CLAIM, SWEEPS
from jsonschema import Draft202012Validator

from normbench.config import json_schema, load_config
from normbench.config.loader import parse, read_text
from normbench.config.problems import Problems, Where

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").glob("**/*.yaml"))


@pytest.fixture(scope="module")
def validator():
    return Draft202012Validator(json_schema())


def plain(text):
    return parse(text, Where("a.yaml", 1, 1), Problems()).plain


def test_the_schema_is_a_schema():
    Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("sweep", SWEEPS)
def test_it_accepts_what_the_loader_accepts(validator, sweep):
    validator.validate(plain(f"{BASE}\n{sweep}\n{CLAIM}"))
    validator.validate(plain(f"{BASE}\ndecide: {{max_seeds: 12, budget: 10m}}\n{sweep}\n{CLAIM}"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: mlp", "name: mpl"),
        ("depth: 2", "depht: 2"),
        ("depth: 2", "norm: batchnrm"),
        ("depth: 2", "norm: {name: none, eps: 1}"),
        ("lr: 0.1", "lr: 0"),
        ("name: test", "name: a/b"),
        ("name: test", "name: test\nx: 1"),
        ("name: test", "name: test\ndecide:"),
        ("name: test", "name: test\ndecide: {max_seeds: 31}"),
        ("name: test", "name: test\ndecide: {budget: }"),
        ("name: test", "name: test\nsweep: {}"),
        ("name: test", "name: test\nsweep: {modl.x: [1]}"),
        ("name: test", "name: test\nsweep: {model.depth: 1}"),
        ("name: test", "name: test\nsweep: {model.depth: []}"),
        ("name: test", "name: test\nsweep: {optimizer.lr: {logspace: {from: 0, to: 1, num: 3}}}"),
    ],
)
def test_it_refuses_what_the_loader_refuses(validator, old, new):
    assert not validator.is_valid(plain(BASE.replace(old, new, 1)))


@pytest.mark.parametrize(
    "short", ["data: digits", "model: mlp", "optimizer: adam", "model: {name: mlp, norm: selu}"]
)
def test_short_forms(validator, short):
    data = yaml.safe_load(BASE)
    validator.validate({**data, **yaml.safe_load(short)})


def test_swept_keys_are_offered_with_their_descriptions():
    keys = json_schema()["properties"]["sweep"]["properties"]
    assert {"model.norm", "model.norm.eps", "optimizer.lr", "optimizer", "train.steps", "zip"} <= set(keys)
    assert keys["optimizer.lr"]["description"]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configs_load_and_fit(validator, path):
    validator.validate(plain(read_text(path)))
    assert load_config(path).cells


def test_the_committed_copy_is_fresh():
    committed = json.loads((ROOT / "normbench.schema.json").read_text(encoding="utf-8"))
    assert committed == json_schema(), "refresh it: normbench schema > normbench.schema.json"
