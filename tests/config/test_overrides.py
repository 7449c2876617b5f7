# ruff: noqa: E501  (tables with one case in a line)
import pytest
from helpers.config import BASE, column, complaint, experiment

SWEEP = "sweep: {model.depth: [1, 2], optimizer.name: [sgd, adam], zip: [{train.steps: [1, 2], model.width: [3, 4]}]}"


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("model.depth=5", "model.depth", 5),
        ("optimizer.lr=1e-3", "optimizer.lr", 1e-3),
        ("train.steps = 7", "train.steps", 7),
        ("train.eval_every=[1, 2, 5]", "train.eval_every", [1, 2, 5]),
        ("model.norm=batchnorm", "model.norm.name", "batchnorm"),
        ("model.norm.name=batchnorm", "model.norm.name", "batchnorm"),
        ("model.norm={name: batchnorm, eps: 1e-2}", "model.norm.eps", 1e-2),
        ("data=mnist", "data.batch_size", 20),
        ("optimizer={name: adam, lr: 2}", "optimizer.lr", 2),
        ("model.dropout.rate=0.5", "model.dropout.placement", "none"),
    ],
)
def test_a_setting(override, path, value):
    got = experiment(overrides=[override]).settings
    for key in path.split("."):
        got = getattr(got, key)
    assert got == value


def test_the_header():
    result = experiment(overrides=["seeds=[0, 4]", "name=other", "title=a title", "claims=[]"])
    assert (result.seeds, result.name, result.title) == ([0, 4], "other", "a title")


def test_overrides_apply_in_their_order():
    result = experiment(
        overrides=["model.norm=batchnorm", "model.norm.eps=1", "model.depth=3", "model.depth=4"]
    )
    assert result.settings.model.norm.eps == 1
    assert result.settings.model.depth == 4


@pytest.mark.parametrize(
    ("override", "key", "values"),
    [
        ("model.depth=5", "model.depth", [5]),
        ("model.depth=[3, 4]", "model.depth", [3, 4]),
        ("model.depth={range: {from: 1, to: 3}}", "model.depth", [1, 2, 3]),
        ("sweep.model.depth=[7]", "model.depth", [7]),
        ("optimizer=adam", "optimizer.name", ["adam"]),
        ("sweep.optimizer=[adam]", "optimizer.name", ["adam"]),
        ("sweep.optimizer.lr=[0.1, 1]", "optimizer.lr", [0.1, 1]),
        ("sweep.exclude=[{model.depth: 1}]", "model.depth", [2]),
        ("sweep={model.depth: [9]}", "model.depth", [9]),
    ],
)
def test_an_axis(override, key, values):
    result = experiment(SWEEP, [override])
    assert list(dict.fromkeys(column(result, key))) == values


def test_a_sweep_may_be_made_by_overrides():
    assert column(experiment(overrides=["sweep.optimizer.lr=[0.1, 1]"]), "optimizer.lr") == [0.1, 1]


def test_a_claim_may_be_changed_by_its_number():
    claim = (
        "claims: [{id: C, statement: x, measure: final_loss, over: model.depth, expect: {increases: true}}]"
    )
    claim += "\nsweep: {model.depth: [1, 2]}"
    assert experiment(claim, ["claims.0.id=C9"]).claims[0].id == "C9"


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("model.depth", "--set model.depth: found no KEY=VALUE; write for example --set model.depth=5"),
        ("=5", "found no KEY=VALUE"),
        ("model..depth=5", "found no KEY=VALUE"),
        ("model.width=x", "--set model.width=x: "),
        ("model.depht=5", "model.depht: 'depht' is an unknown key; did you mean 'depth'?"),
        ("model.norm.eps=1", "has no 'eps'"),
        ("modl.depth=5", "did you mean 'model'?"),
        ("train.dtype=float16", "'float16' is unknown; did you mean 'float"),
        ("optimizer.lr=[0.1, 1]", "allowed: a number; to sweep it: --set sweep.optimizer.lr=[0.1, 1]"),
        ("sweep.model.depth=3", "found 3; allowed: a list of values"),
        ("train.steps=3", "swept in a zip block"),
        ("sweep.train.steps=[3]", "swept in a zip block"),
        ("name=../x", "--set name=../x: name: found '../x'"),
        ("title=[", "--set title=[: not YAML"),
        ("title=!x 3", "the tag '!x' is refused"),
        ("train=3", "train: found 3; allowed: a mapping"),
        ("claims.4.id=x", "claims"),
    ],
)
def test_mistakes_name_the_override(override, part):
    message = complaint(SWEEP, [override])
    assert part in message
    assert message.startswith(f"--set {override}: ")


def test_a_mend_for_a_wrong_file():
    base = BASE.replace("depth: 2", "depth: 0")
    assert experiment(base=base, overrides=["model.depth=1"]).settings.model.depth == 1
