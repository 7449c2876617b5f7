# ruff: noqa: E501  (tables with one case in a line)
import contextlib

import pytest
import yaml
from helpers.config import BASE, CLAIM, CLAIM_SWEEP, SWEEPS, complaint, experiment
from hypothesis import given, settings
from hypothesis import strategies as st

from normbench.config import dump_config, load_config, parse_config
from normbench.errors import ConfigError, ExitCode


def test_what_an_experiment_has():
    result = experiment(
        f"title: A test\nprobes: [gradients, {{name: activations, every: 3}}]\n{CLAIM_SWEEP}\n{CLAIM}"
    )
    assert (result.name, result.title, result.seeds) == ("test", "A test", [0, 1, 2])
    assert result.settings.model.norm.name == "none"
    assert result.settings.train.eval_every == 10
    assert [(probe.name, probe.every) for probe in result.probes] == [("gradients", None), ("activations", 3)]
    assert [claim.id for claim in result.claims] == ["C2", "C3"]
    assert result.claims[0].control == ["of", "against", {"model.norm": "selu"}]


def test_settings_are_resolved():
    result = experiment(base=BASE.replace("activation: relu", "activation: relu, norm: selu"))
    assert result.settings.model.activation == "selu"
    assert result.cells[0].settings.model.activation == "selu"
    assert result.raw["model"]["activation"] == "relu"  # as written: another normalization may be swept in


def test_words_that_yaml_1_1_takes_for_booleans_and_text_are_what_they_look_like():
    base = BASE.replace("lr: 0.1", "lr: 1e-3").replace("width: 8", "width: 8, norm: none")
    assert experiment(base=base).settings.optimizer.lr == 0.001


def test_seeds_may_be_a_list():
    assert experiment(base=BASE.replace("seeds: 3", "seeds: [7, 1]")).seeds == [7, 1]


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("depth: 2", "depht: 2", ["a.yaml:4:20: model.depht: 'depht' is an unknown key; did you mean 'depth'? one of: name"]),
        ("depth: 2", "depth: 0", ["a.yaml:4:27: model.depth: found 0; allowed: at least 1"]),
        ("depth: 2", "depth: deep", ["4:27: model.depth: found 'deep'; allowed: a whole number"]),
        ("depth: 2", "depth: '2'", ["found '2'; allowed: a whole number; write it without quotes"]),
        ("depth: 2", "depth: 2.5", ["found 2.5; allowed: a whole number"]),
        ("depth: 2", "depth: true", ["found true; allowed: a whole number"]),
        ("depth: 2", "depth: null", ["found nothing; allowed: a whole number; write a value, or leave the key out"]),
        ("depth: 2", "depth: [2, 3]", ["found [2, 3]; allowed: a whole number"]),
        ("depth: 2", "dropout: {rate: 0.1, plcement: input}", ["model.dropout.plcement", "did you mean 'placement'?"]),
        ("depth: 2", "norm: batchnrm", ["4:26: model.norm: 'batchnrm' is unknown; did you mean 'batchnorm'? one of: none, "]),
        ("depth: 2", "norm: {name: batchnorm, epps: 1}", ["model.norm.epps: 'epps' is an unknown key; did you mean 'eps'?"]),
        ("depth: 2", "norm: {name: none, eps: 1}", ["model.norm.eps: 'eps' is an unknown key; one of: name"]),
        ("depth: 2", "norm: {eps: 1}", ["model.norm: its name is missing; add 'name: ...', one of: none, "]),
        ("depth: 2", "norm: 3", ["model.norm: found 3; allowed: a name or a mapping with a name"]),
        ("depth: 2", "activation: relo", ["model.activation"]),
        ("relu", "relo", ["model.activation: 'relo' is unknown; did you mean 'relu'? one of: sigmoid"]),
        ("relu", "3", ["model.activation: found 3; allowed: one of: sigmoid"]),
        ("name: mlp", "name: mpl", ["a.yaml:4:15: model: 'mpl' is unknown; did you mean 'mlp'? one of: mlp"]),
        ("name: mlp", "width: 3", ["model.width: given twice"]),
        ("name: digits", "name: digit", ["a.yaml:3:14: data: 'digit' is unknown; did you mean 'digits'? one of: digits, mnist"]),
        ("batch_size: 20", "batch_size: 5000", ["a.yaml:3:34: data.batch_size: 5000 is larger than the training part"]),
        ("batch_size: 20", "train_size: 10, batch_size: 20", ["data.batch_size: 20 is larger than the training part of 10"]),
        ("batch_size: 20", "train_size: 5000", ["a.yaml:3:34: data.train_size: 5000 is more than"]),
        ("batch_size: 20", "test_size: 5000", ["data.test_size: 5000 is more than"]),
        ("eval_every: 10", "eval_size: 5000", ["a.yaml:6:31: train.eval_size: 5000 is more than the 360 test images"]),
        ("eval_every: 10", "eval_every: 0", ["a.yaml:6:32: train.eval_every: found 0; allowed: greater than 0"]),
        ("eval_every: 10", "eval_every: [1, 0]", ["6:36: train.eval_every[1]: found 0; allowed: greater than 0"]),
        ("eval_every: 10", "eval_every: {lgo: 3}", ["train.eval_every.lgo: 'lgo' is an unknown key; did you mean 'log'?"]),
        ("eval_every: 10", "eval_every: {first: 5, until: 12, then: 20}", ["found until: 12, first: 5; allowed: a multiple of first, such as 10"]),
        ("eval_every: 10", "eval_every: {first: 5, until: 10}", ["train.eval_every: found first, until; allowed: log alone, or first, until and then"]),
        ("eval_every: 10", "eval_every: {first: 0, until: 10, then: 5}", ["train.eval_every.first: found 0; allowed: greater than 0"]),
        ("eval_every: 10", "eval_every: x", ["found 'x'; allowed: a whole number, or a list, or a mapping"]),
        ("lr: 0.1", "lr: 0", ["a.yaml:5:28: optimizer.lr: found 0; allowed: greater than 0"]),
        ("lr: 0.1", "lr: -1e-3", ["optimizer.lr: found -0.001; allowed: greater than 0"]),
        ("lr: 0.1", "lr: !!python/name:os.system x", ["a.yaml:5:28: optimizer.lr: the tag '!!python/name:os.system' is refused"]),
        ("lr: 0.1", "lr: 0.1, lr: 1", ["optimizer.lr: given twice"]),
        ("lr: 0.1", "schedule: linaer", ["optimizer.schedule", "did you mean 'linear'?"]),
        ("name: test", "name: ../../evil", ["a.yaml:1:7: name: found '../../evil'; allowed: letters, digits, - and _"]),
        ("name: test", "name: 3", ["name: found 3; allowed: text; put it in quotes"]),
        ("name: test", "nme: test", ["1:1: nme: 'nme' is an unknown key; did you mean 'name'?", "name: missing; add it"]),
        ("name: test", "name: test\nclaim: []", ["2:1: claim: 'claim' is an unknown key; did you mean 'claims'?"]),
        ("seeds: 3", "seeds: 0", ["2:8: seeds: found 0; allowed: greater than 0"]),
        ("seeds: 3", "seeds: [0, -1]", ["2:12: seeds[1]: found -1; allowed: at least 0"]),
        ("seeds: 3", "seeds: [0, 1, 0]", ["2:15: seeds[2]: found 0 again; allowed: different seeds"]),
        ("seeds: 3", "seeds: []", ["2:8: seeds: an empty list"]),
        ("seeds: 3", "seeds: many", ["seeds: found 'many'; allowed: a whole number, or a list"]),
        ("data: {name: digits, batch_size: 20}\n", "", ["data: missing; add 'data: ...', one of: digits"]),
        ("data: {name: digits, batch_size: 20}", "data: digitz", ["3:7: data: 'digitz' is unknown; did you mean 'digits'?"]),
        ("data: {name: digits, batch_size: 20}", "data:", ["data: found nothing; allowed: a name or a mapping with a name"]),
        ("train: {steps: 20, eval_every: 10}", "train: 20", ["train: found 20; allowed: a mapping"]),
    ],
)  # fmt: skip
def test_each_mistake_has_its_place_and_its_mend(old, new, parts):
    message = complaint(base=BASE.replace(old, new, 1))
    assert message.startswith("a.yaml:")
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("claim", "part"),
    [
        ("{id: a b}", "claims[0].id: found 'a b'; allowed: letters, digits"),
        ("{id: C1, statment: x}", "claims[0].statment: 'statment' is an unknown key; did you mean 'statement'?"),
        ("{id: C1, statement: x, measure: final_accuracy, expect: {ratio_at_least: 1}}", "found neither of 'against' and 'over'"),
        ("{id: C1, statement: x, measure: final_accuracy, against: {model.depth: 1}, expect: {increases: true}}", "needs 'over:"),
        ("{id: C1, statement: x, measure: final_accuracy, over: model.depth, expect: {ratio_at_least: 1}}", "needs 'against:"),
        ("{id: C1, statement: x, measure: final_accuracy, over: model.depth, expect: {}}", "found no expectation; allowed: exactly"),
        ("{id: C1, statement: x, measure: final_accuracy, over: model.dpth, expect: {increases: true}}", "did you mean 'depth'?"),
        ("{id: C1, statement: x, measure: final_accuracy, against: {model.nrm: 1}, expect: {ratio_at_least: x}}", "found 'x'; allowed: a number"),
        ("{id: C1, statement: x, measure: final_accuracy, against: {model.nrm: 1}, expect: {ratio_at_least: 1}}", "did you mean 'norm'?"),
        ("3", "claims[0]: found 3; allowed: a mapping"),
    ],
)  # fmt: skip
def test_mistakes_in_claims(claim, part):
    assert part in complaint(f"claims: [{claim}]")


def test_a_claim_id_is_unique():
    claim = CLAIM.splitlines()[-1]
    assert "claims[1].id: 'C3' is also the id of an earlier claim" in complaint(
        f"claims:\n{claim}\n{claim}\n"
    )


def test_all_mistakes_come_at_once_in_the_order_of_the_file():
    base = BASE.replace("test", "a/b").replace("depth: 2", "depth: 0").replace("lr: 0.1", "lr: 0")
    lines = complaint("sweep: {model.width: [x]}", ["train.steps=0", "sedes=3"], base).splitlines()
    places = [
        "a.yaml:1:7",
        "a.yaml:4:27",
        "a.yaml:5:28",
        "a.yaml:7:23",
        "--set train.steps=0",
        "--set sedes=3",
    ]
    assert sorted(line.split(": ")[0] for line in lines) == sorted(places)
    assert [line.split(": ")[0] for line in lines[:4]] == places[:4]


@pytest.mark.parametrize("text", ["", "3", "- a", "a", "name: [}", "\x00"])
def test_what_is_no_config(text):
    assert complaint(base=text).startswith("a.yaml:1:")


def test_a_missing_file_is_a_usage_error(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        load_config(tmp_path / "missing.yaml")
    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize("sweep", [*SWEEPS, f"{CLAIM_SWEEP}\n{CLAIM}"])
def test_a_dumped_config_gives_the_same_experiment(sweep):
    base = BASE.replace("width: 8", "width: 8, norm: {name: batchnorm, affine: false}, bias: null")
    first = experiment(f"title: 1e-3\n{sweep}\n".replace("1e-3\n", "'1e-3'\n", 1), base=base)
    text = dump_config(first)
    again = parse_config(text, "again.yaml")
    assert again.cells == first.cells
    assert again.raw == first.raw
    assert (again.settings, again.columns, again.title) == (first.settings, first.columns, first.title)
    assert dump_config(again) == text
    assert first.raw["seeds"] == [0, 1, 2]
    plain = yaml.safe_dump({**first.raw, "title": "x"}, sort_keys=False)
    assert parse_config(plain, "plain.yaml").cells == first.cells


def test_the_dump_fills_in_defaults():
    raw = experiment().raw
    assert raw["data"]["standardize"] == "channel"
    assert raw["optimizer"]["momentum"] == 0.0
    assert "scheme" not in raw["model"]["init"]  # unset means that the normalization chooses


@pytest.mark.parametrize("word", ["off", "1e-3", ".inf", "2020-01-01", "null", "a: b", "é", "1:30", "", "12"])
def test_text_survives_the_dump(word):
    first = experiment(overrides=[f"title='{word}'"])
    assert first.title == word
    assert parse_config(dump_config(first)).title == word


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
        ["none", "batchnorm", "mlp", "digits", "sgd", "x", "log", "0.1"]
    ),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["name", "depth", "norm", "eps", "lr", "log", "logspace", "model.norm", "x"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
KEYS = ["name", "title", "seeds", "data", "model", "optimizer", "train", "probes", "sweep", "claims", "x"]


@settings(max_examples=150, deadline=3000)
@given(
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4),
    st.lists(st.sampled_from(KEYS), max_size=1),
    VALUES,
)
def test_any_data_gives_an_experiment_or_one_error(changes, keys, value):
    data = {**yaml.safe_load(BASE), **changes}
    with contextlib.suppress(ConfigError):
        parse_config(yaml.safe_dump(data), "a.yaml", [f"{key}={value}" for key in keys])


@pytest.mark.parametrize(
    ("every", "steps", "expected"),
    [
        ("{first: 5, until: 20, then: 20}", 70, [0, 5, 10, 15, 20, 40, 60, 70]),
        ("{first: 5, until: 20, then: 20}", 60, [0, 5, 10, 15, 20, 40, 60]),
        ("{first: 5, until: 20, then: 20}", 12, [0, 5, 10, 12]),
        ("{first: 5, until: 20, then: 20}", 20, [0, 5, 10, 15, 20]),
        ("{first: 5, until: 5, then: 3}", 12, [0, 5, 8, 11, 12]),
        ("5", 12, [0, 5, 10, 12]),
    ],
)
def test_evaluations_dense_early_and_sparse_later(every, steps, expected):
    base = BASE.replace("steps: 20, eval_every: 10", f"steps: {steps}, eval_every: {every}")
    train = experiment(base=base).settings.train
    assert train.evaluation_steps == expected
    if "first" not in every:
        assert train.hashed()["eval_every"] == int(every)  # ids stay


def test_log_spaced_evaluations_are_hashed_as_before():
    base = BASE.replace("eval_every: 10", "eval_every: {log: 3}")
    assert experiment(base=base).settings.train.hashed()["eval_every"] == {"log": 3}
