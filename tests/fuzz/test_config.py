# ruff: noqa: E501  (tables)
"""Any bytes as a config, any sweep, any override: an experiment and its plan, or one NormbenchError."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from helpers.fuzz_bounds import note, tried
from helpers.fuzz_inputs import ODD_NUMBERS, ODD_WORDS, edited, edits, odd_texts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from normbench.config import Experiment, dump_config, load_config, parse_config
from normbench.errors import NormbenchError

ROOT = Path(__file__).parents[2]
SHIPPED = [
    path.read_bytes()
    for path in sorted([*ROOT.glob("configs/**/*.yaml"), *ROOT.glob("normbench/recipes/*.yaml")])
]
BASE = """
name: x
seeds: 2
data: {name: digits, batch_size: 20}
model: {name: mlp, depth: 2, width: 8}
optimizer: {name: sgd, lr: 0.1}
train: {steps: 10}
"""
KEYS = [
    "model", "model.name", "model.norm", "model.norm.eps", "model.norm.name", "model.depth", "model.width", "model.bias",
    "model.activation", "model.dropout", "model.dropout.rate", "model.init.gain", "optimizer", "optimizer.name",
    "optimizer.lr", "optimizer.momentum", "optimizer.schedule", "optimizer.schedule.gamma", "data", "data.name",
    "data.train_size", "data.batch_size", "train", "train.steps", "train.eval_every", "train.eval_every.log", "seeds",
    "name", "sweep", "zip", "claims.0.of", "model.", ".", "", "model.nrm", "data.root", "train.trains_below",
]  # fmt: skip
WORDS = [
    "none", "batchnorm", "layernorm", "selu", "mlp", "cnn", "digits", "mnist", "sgd", "adam", "relu", "constant", "cosine",
]  # fmt: skip
short = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)

numbers = st.sampled_from(ODD_NUMBERS[:12]).map(yaml.safe_load) | st.integers(-3, 200) | st.floats(-1e3, 1e3)
scalars = numbers | st.sampled_from(WORDS) | st.booleans() | st.none() | odd_texts
sections = st.dictionaries(
    st.sampled_from(["name", "eps", "rate", "placement", "lr", "log", "x"]), scalars, max_size=3
)
values = scalars | sections | st.lists(scalars, max_size=3)
spans = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("from", "to", "num", "step", "x"), numbers)
)  # fmt: skip
generators = st.dictionaries(
    st.sampled_from(["linspace", "logspace", "range", "linspce"]), spans | values, max_size=2
)
axes = st.lists(values, max_size=4) | generators | values
blocks = st.dictionaries(st.sampled_from(KEYS), axes, max_size=3)
filters = st.dictionaries(st.sampled_from(KEYS), values | st.lists(scalars, max_size=3), max_size=3)
sweeps = st.builds(
    lambda plain, words: {**plain, **words},
    st.dictionaries(st.sampled_from(KEYS), axes, max_size=4),
    st.fixed_dictionaries(
        {},
        optional={
            "zip": st.lists(blocks, max_size=2) | values,
            "exclude": st.lists(filters, max_size=2) | values,
            "include": st.lists(filters, max_size=2) | values,
        },
    ),
)
# Nearly valid: these parts alone give cells, and with one odd part added they sometimes do.
rates = st.lists(st.sampled_from([0.001, 0.01, 0.1, 1, 10]), min_size=1, max_size=3, unique=True)
spaced = st.builds(
    lambda kind, num: {kind: {"from": 0.01, "to": 1, "num": num}},
    st.sampled_from(["linspace", "logspace"]),
    st.integers(1, 5),
)
near = st.fixed_dictionaries(
    {"optimizer.lr": rates | spaced | st.just({"edge": {"from": 0.01, "to": 1, "precision": 1.5}})},
    optional={
        "model.norm": st.lists(
            st.sampled_from(["none", "batchnorm", "layernorm", "selu", "groupnorm"]),
            min_size=1,
            max_size=3,
            unique=True,
        ),
        "model.depth": st.lists(st.integers(1, 4), min_size=1, max_size=2, unique=True),
        "model.dropout.rate": st.lists(st.sampled_from([0, 0.1, 0.5]), min_size=1, max_size=2, unique=True),
        "zip": st.just([{"model.activation": ["relu", "sigmoid"], "model.width": [4, 5]}]),
        "exclude": st.lists(filters, max_size=1) | st.just([{"model.norm": "selu"}]),
        "include": st.just([{"model.norm": ["weightnorm"], "optimizer.lr": [0.3]}]),
    },
)
nearly = st.builds(
    lambda good, odd: {**good, **odd}, near, st.just({}) | blocks.map(lambda b: dict(list(b.items())[:1]))
)

overrides = st.lists(
    st.builds(
        lambda key, sign, value: f"{key}{sign}{value}",
        st.sampled_from([*KEYS, "sweep.optimizer.lr", "sweep.zip.0.model.depth", "sweep.exclude", "claims"]) | odd_texts,
        st.sampled_from(["=", "=", "=", "", "=="]),
        st.sampled_from([*ODD_NUMBERS, *ODD_WORDS, *WORDS, "[1, 2]", "{logspace: {from: 1, to: 2, num: 3}}", "[[", "{a: [1"])
        | odd_texts,
    ),
    max_size=3,
)  # fmt: skip


def loads(found: object, name: str) -> None:
    """Check the promises of an answer: its dump reads back the same; an error names its place."""
    if isinstance(found, NormbenchError):
        assert name in str(found) or "--set" in str(found), str(found)
        return
    assert isinstance(found, Experiment)
    text = tried(dump_config, found)
    again = tried(parse_config, text, "again.yaml")
    assert isinstance(again, Experiment), f"{again}\n{text}"
    assert again.cells == found.cells
    assert again.name.strip("-_").isascii()
    assert not set(again.name) & set("/\\.\0")


@short
@given(data=st.binary(max_size=200) | st.builds(edited, st.sampled_from(SHIPPED), edits()), sets=overrides)
def test_any_bytes_and_overrides_give_an_experiment_or_one_error(tmp_path, data, sets):
    note("any bytes as a config, with overrides")
    path = tmp_path / "any.yaml"
    path.write_bytes(data)
    loads(tried(load_config, path, sets), "any.yaml")


@short
@given(sweep=near | nearly | sweeps | values, sets=st.just([]) | overrides)
def test_any_sweep_gives_cells_or_one_error(sweep, sets):
    note("any sweep, with overrides")
    text = BASE + yaml.safe_dump({"sweep": sweep}, allow_unicode=True)
    loads(tried(parse_config, text, "any.yaml", sets), "any.yaml")


@short
@given(
    changes=st.dictionaries(
        st.sampled_from(["name", "title", "seeds", "data", "model", "optimizer", "train", "probes", "claims", "x"]),
        values | st.dictionaries(st.sampled_from(["name", "norm", "depth", "steps", "eval_every", "root", "lr"]), values),
        min_size=1,
        max_size=3,
    )
)  # fmt: skip
def test_any_section_gives_an_experiment_or_one_error(changes):
    note("any section of a config")
    text = yaml.safe_dump({**yaml.safe_load(BASE), **changes}, allow_unicode=True)
    loads(tried(parse_config, text, "any.yaml"), "any.yaml")


BOMBS = {
    "aliases": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
    "an alias of itself": "a: &a {b: [*a, *a]}",
    "depth": "a: " + "[" * 400_000,
    "mappings in depth": "a: " + "{a: " * 200_000,
    "keys": "\n".join(f"k{number}: 1" for number in range(80_000)),
    "equal keys": "a: 1\n" * 150_000,
    "one long line": "name: " + "x" * 900_000,
    "one long number": "seeds: " + "9" * 900_000,
    "a long float": "seeds: 0." + "0" * 900_000 + "1",
    "quotes": "name: '" + "''" * 400_000,
    "a comment": "#" * 900_000,
    "commas": "[" + "," * 900_000,
    "colons": "? " * 300_000,
    "dashes": "- " * 400_000,
    "documents": "---\n" * 200_000,
    "tags": "!!x " * 200_000,
    "anchors": "".join(f"&a{number} " for number in range(100_000)),
    "a literal block": "a: |\n" + "  x\n" * 200_000,
    "half an escape": 'a: "\\U00',
    "null bytes": "\0" * 100_000,
    "seeds": BASE.replace("seeds: 2", "seeds: 10000"),
    "the largest sweep": BASE + "sweep: {optimizer.lr: {linspace: {from: 1, to: 2, num: 10000}}, model.depth: {range: {from: 1, to: 10}}}",
    "too large a sweep": BASE + "sweep:\n"
    + "".join(f"  {key}: {{linspace: {{from: 1, to: 9, num: 10000}}}}\n" for key in ("optimizer.lr", "optimizer.momentum")),
    "all excluded": BASE + "sweep: {optimizer.lr: {linspace: {from: 1, to: 2, num: 9000}}, exclude: [{model.name: mlp}]}",
    "many filters": BASE + "sweep:\n  optimizer.lr: {linspace: {from: 1, to: 2, num: 9000}}\n  exclude:\n"
    + "  - {optimizer.lr: 7}\n" * 9000,
    "many wrong values": BASE + "sweep: {model.depth: [" + "x, " * 30_000 + "]}",
    "claims": BASE + "claims: [" + "{id: a}, " * 10_000 + "]",
    "evaluations": BASE.replace("steps: 10", "steps: 900000000000000000, eval_every: 1"),
}  # fmt: skip


SLOW = ("the largest sweep",)


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=pytest.mark.thorough) if one in SLOW else one for one in BOMBS]
)
def test_no_text_takes_more_than_its_share_of_time_and_memory(tmp_path, name):
    note("a config that takes much time or memory to read")
    path = tmp_path / "any.yaml"
    path.write_text(BOMBS[name], encoding="utf-8")
    found = tried(load_config, path)
    assert isinstance(found, (Experiment, NormbenchError))
    assert len(str(found)) < 100_000 or isinstance(found, Experiment)
