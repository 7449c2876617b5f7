"""What a message offers for the usual slips: the key's place, the list's place, steps for epochs, YAML."""

# ruff: noqa: E501  (tables with one case in a line)
import pytest
import yaml

from normbench.config import loader, parse_config
from normbench.config.hints import homes, missing_space
from normbench.errors import ConfigError

BASE = """name: s
seeds: 1
data: digits
model: {name: mlp, depth: 1, width: 8}
optimizer: {name: sgd, lr: 0.1}
train: {steps: 10, eval_every: 5}
"""


def complaint(old="", new="", *overrides):
    assert old in BASE
    with pytest.raises(ConfigError) as caught:
        parse_config(BASE.replace(old, new, 1) if old else BASE + new, "a.yaml", overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "place", "mend"),
    [
        ("depth: 1", "depth: [2, 5]", "a.yaml:4:27: model.depth", "`model.depth: [2, 5]`"),
        ("depth: 1", "norm: [bn, LN]", "model.norm", "`model.norm: [bn, LN]`"),
        ("depth: 1", "norm: {name: [bn, LN]}", "model.norm", "`model.norm: [bn, LN]`"),
        ("depth: 1", "activation: [relu, tanh]", "model.activation", "`model.activation: [relu, tanh]`"),
        ("depth: 1", "dropout: {rate: [0, 0.5]}", "model.dropout.rate", "`model.dropout.rate: [0, 0.5]`"),
        ("lr: 0.1", "lr: [0.1, 1]", "a.yaml:5:28: optimizer.lr", "`optimizer.lr: [0.1, 1]`"),
        ("{name: sgd, lr: 0.1}", "[sgd, adam]", "optimizer", "`optimizer: [sgd, adam]`"),
        ("name: sgd", "name: [sgd, adam]", "optimizer", "`optimizer: [sgd, adam]`"),
        ("data: digits", "data: [digits, mnist]", "a.yaml:3:7: data", "`data: [digits, mnist]`"),
        ("data: digits", "data: {name: digits, batch_size: [10, 20]}", "data.batch_size", "`data.batch_size: [10, 20]`"),
        ("steps: 10", "steps: [5, 6]", "train.steps", "`train.steps: [5, 6]`"),
        ("lr: 0.1", "lr: '0.1, 1'", "optimizer.lr", "`optimizer.lr: [0.1, 1]`"),
        ("lr: 0.1", "lr: {logspace: {from: 1, to: 2, num: 3}}", "optimizer.lr", "`optimizer.lr: {logspace: {from: 1, to: 2, num: 3}}`"),
    ],
)  # fmt: skip
def test_several_values_go_under_sweep(old, new, place, mend):
    text = complaint(old, new)
    assert place in text
    assert f"under `sweep`: {mend}" in text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("data: digits", "data: {name: digits, root: [a, b]}"),  # cannot be swept
        ("steps: 10", "trains_below: [0.1, 0.5]"),  # cannot be swept
        ("{steps: 10, eval_every: 5}", "[1, 2]"),
        ("name: s\n", "name: [a, b]\n"),
        ("eval_every: 5", "eval_every: [a, b]"),  # a list may be here
    ],
)
def test_what_no_sweep_can_have_is_not_sent_there(old, new):
    assert "under `sweep`" not in complaint(old, new)


@pytest.mark.parametrize(
    ("old", "new", "overrides", "offer"),
    [
        ("", "lr: 0.1", (), "a.yaml:7:1: lr: 'lr' is an unknown key; did you mean 'optimizer.lr'?"),
        ("", "norm: bn", (), "did you mean 'model.norm'?"),
        ("", "depth: 3", (), "did you mean 'model.depth'?"),
        ("", "batch_size: 3", (), "did you mean 'data.batch_size'?"),
        ("", "learning_rate: 3", (), "did you mean 'optimizer.lr'?"),
        ("", "widht: 3", (), "did you mean 'model.width'?"),
        ("", "momentum: 3", (), "did you mean 'optimizer.momentum' or 'model.norm.momentum'?"),
        ("depth: 1", "lr: 1", (), "model.lr: 'lr' is an unknown key; did you mean 'optimizer.lr'?"),
        ("steps: 10", "batch_size: 1", (), "did you mean 'data.batch_size'?"),
        ("steps: 10", "seeds: 1", (), "did you mean 'seeds' at the top of the file?"),
        ("lr: 0.1", "LR: 0.1", (), "did you mean 'lr'?"),
        ("", "sweep: {lr: [1, 2]}", (), "sweep.lr: 'lr' is an unknown key; did you mean 'optimizer.lr'?"),
        ("", "sweep: {norm: [bn, ln]}", (), "sweep.norm: 'norm' is an unknown key; did you mean 'model.norm'?"),
        ("", "sweep: {model.depth: [1, 2], exclude: [{lr: 1}]}", (), "did you mean 'optimizer.lr'?"),
        ("", "", ("lr=0.1",), "--set lr=0.1: lr: 'lr' is an unknown key; did you mean 'optimizer.lr'?"),
        ("", "", ("norm=bn",), "did you mean 'model.norm'?"),
        ("", "", ("model.lr=1",), "did you mean 'optimizer.lr'?"),
        ("", "claims: [{id: a, statement: b, measure: final_loss, of: {norm: bn}, against: {lr: 1}, expect: {ratio_at_least: 1}}]", (), "claims[0].of.norm: 'norm' is an unknown key; did you mean 'model.norm'?"),
        ("", "claims: [{id: a, statement: b, measure: final_loss, over: depth, expect: {increases: true}}]", (), "claims[0].over: 'depth' is an unknown key; did you mean 'model.depth'?"),
    ],
)  # fmt: skip
def test_a_key_in_the_wrong_place_is_offered_its_own(old, new, overrides, offer):
    assert offer in complaint(old, new, *overrides)


def test_a_key_that_another_kind_has_is_not_offered_in_its_own_place():
    text = complaint("depth: 1", "norm: {name: none, eps: 1}")
    assert "model.norm.eps: 'eps' is an unknown key; one of: name" in text


def test_each_home_is_an_option():
    from normbench.config.hints import _ELSEWHERE
    from normbench.config.keys import owners
    from normbench.config.schema import Config

    for key in {*_ELSEWHERE.values(), *homes("eps"), *homes("lr")}:
        assert key in Config.model_fields or any(True for _ in owners(Config, tuple(key.split(".")))), key


@pytest.mark.parametrize(
    ("old", "new", "keys"),
    [
        ("{steps: 10, eval_every: 5}", "100", "train: found 100; allowed: a mapping with the keys steps, eval_every"),
        ("depth: 1", "dropout: 0.5", "model.dropout: found 0.5; allowed: a mapping with the keys rate, placement"),
        ("data: digits", "data: {name: digits, augment: true}", "data.augment: found true; allowed: a mapping with the keys pad"),
        ("", "claims: [5]", "claims[0]: found 5; allowed: a mapping with the keys id, statement"),
        ("", "sweep: {optimizer.lr: {linspace: 5}}", "linspace: found 5; allowed: a mapping with the keys from, to, num"),
        ("", "claims: [{id: a, statement: b, measure: final_loss, of: bn, over: model.depth, expect: 5}]", "claims[0].of: found 'bn'; allowed: a mapping {dotted key: value}"),
        ("", "claims: [{id: a, statement: b, measure: final_loss, over: model.depth, expect: 5}]", "expect: found 5; allowed: a mapping with the keys ratio_at_least"),
    ],
)  # fmt: skip
def test_a_scalar_for_a_mapping_is_told_the_keys(old, new, keys):
    assert keys in complaint(old, new)


@pytest.mark.parametrize(
    ("old", "new", "overrides", "steps"),
    [
        ("data: digits\n", "data: mnist\nepochs: 24\n", (), "24 epochs of mnist at batch size 60 are 24,000 steps: write `train.steps: 24000`"),
        ("steps: 10", "epochs: 24", (), "a.yaml:6:9: train.epochs: 'epochs' is an unknown key; a config counts steps, not epochs; 24 epochs of digits at batch size 60 are 552 steps"),
        ("steps: 10", "num_epochs: 1", (), "1 epoch of digits at batch size 60 are 23 steps"),
        ("", "", ("train.epochs=2",), "--set train.epochs=2: train.epochs: "),
        ("", "", ("epochs=2", "data.batch_size=10"), "2 epochs of digits at batch size 60 are 46 steps"),
        ("", "sweep: {train.epochs: [1, 2]}", (), "write `train.steps: [23, 46]`"),
        ("steps: 10", "epochs: ten", (), "an epoch of digits at batch size 60 is 23 steps; write train.steps"),
        ("data: digits\n", "data: {name: image_folder, root: /nowhere}\nepochs: 3\n", (), "write train.steps: epochs x (training images"),
    ],
)  # fmt: skip
def test_epochs_are_said_in_steps(old, new, overrides, steps):
    assert steps in complaint(old, new, *overrides)


@pytest.mark.parametrize(
    ("sweep", "mend"),
    [
        ("{optimizer.lr: {values: [0.1, 1]}}", "write the list alone: [0.1, 1]"),
        ("{optimizer.lr: {grid_search: [0.1, 1]}}", "write the list alone: [0.1, 1]"),
        ("{model.norm: {choices: [none, batchnorm]}}", "write the list alone: [none, batchnorm]"),
        ("{optimizer.lr: {min: 0.01, max: 1}}", "write {logspace: {from: 0.01, to: 1, num: 5}}"),
        ("{optimizer.momentum: {min: 0.5, max: 0.9}}", "write {linspace: {from: 0.5, to: 0.9, num: 5}}"),
        ("{model.depth: {min: 1, max: 5}}", "write {range: {from: 1, to: 5}}"),
        ("{optimizer.lr: 5}", "write a list: [5]"),
        ("{optimizer.lr: '0.1, 1'}", "write a list: [0.1, 1]"),
        ("{model.norm: {name: batchnorm}}", "write a list: [{name: batchnorm}]"),
        ("{method: grid, model.depth: [1]}", "sweep.method: 'method' is not needed here: every sweep is the whole grid"),
        ("{metric: {name: loss}, model.depth: [1]}", "claims say what is measured"),
        ("{parameters: {lr: {values: [1]}}}", "write the dotted keys right under sweep"),
    ],
)  # fmt: skip
def test_the_sweeps_of_other_tools_are_told_the_words_here(sweep, mend):
    assert mend in complaint("", f"sweep: {sweep}")


def test_other_tools_words_at_the_top_of_the_file():
    assert "every sweep is the whole grid; leave it out" in complaint("", "method: grid")
    assert "did you mean 'sweep'?" in complaint("", "parameters: {lr: 1}")


@pytest.fixture(params=[yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)])
def both_parsers(request, monkeypatch):
    monkeypatch.setattr(loader, "_Parser", request.param)


TAB, SPACE, ESCAPE = "a tab in the indentation", "a space is missing after the colon", "in single quotes, "


@pytest.mark.usefixtures("both_parsers")
@pytest.mark.parametrize(
    ("text", "place", "mend"),
    [
        ("a: 1\nsweep:\n\tb: [1]\n", "a.yaml:3:1", TAB),
        ("a:\n  b: 1\n\tc: 2\n", "a.yaml:3:1", TAB),
        ("a:\n \t- 1\n", "a.yaml:2:2", TAB),
        ("name: y\nseeds:3\ndata: digits\n", "a.yaml:2:1", f"{SPACE}; write 'seeds: 3'"),
        ("name: y\nseeds:3", "a.yaml:2:1", f"{SPACE}; write 'seeds: 3'"),
        ("train:\n  steps:100 # many\n  eval_every: 5\n", "a.yaml:2:3", f"{SPACE}; write 'steps: 100'"),
        ("seeds:3", "a.yaml:1:1", f"{SPACE}; write 'seeds: 3'"),
        (BASE.replace("depth: 1", "depth:1"), "a.yaml:4:20", f"{SPACE}; write 'depth: 1'"),
        (BASE.replace("train: {steps: 10, eval_every: 5}", "train:\n  steps:10"), "a.yaml:7:3", f"{SPACE}; write 'steps: 10'"),
        ('data: {root: "C:\\Users\\me", size: 8}\n', "a.yaml:1:14", ESCAPE + "'C:\\Users\\me'"),
        ('é: "ü"\na: "C:\\temp\\x"\n', "a.yaml:2:4", ESCAPE + "'C:\\temp\\x'"),
        ('a: "D:\\data"\n', "a.yaml:1:4", ESCAPE + "'D:\\data'"),
        ('a: "\\\\server\\share"\n', "a.yaml:1:4", "begins an escape"),
    ],
)  # fmt: skip
def test_slips_of_yaml_have_their_line_and_mend(text, place, mend):
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "a.yaml")
    line = next(line for line in str(caught.value).splitlines() if mend in line)
    assert line.startswith(f"{place}: ")


@pytest.mark.usefixtures("both_parsers")
@pytest.mark.parametrize("path", ["'C:\\temp'", '"C:\\\\temp"', '"C:/temp"', "C:\\temp"])
def test_paths_of_windows_that_are_right_are_taken(path):
    text = BASE.replace("data: digits", f"data: {{name: digits, root: {path}}}")
    assert parse_config(text).settings.data.root in ("C:\\temp", "C:/temp")


@pytest.mark.parametrize("text", ["http://x.y", "C:\\x", "a: 1", "plain", 5, None])
def test_only_a_missing_space_is_one(text):
    assert missing_space(text) is None
