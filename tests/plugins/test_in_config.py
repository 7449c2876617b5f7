# ruff: noqa: E501  (cells of notebooks in one line)
"""Classes, functions and data sets in a config, in place of names: trained, kept, or refused."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import torch
from helpers.cells import execute, execute_more

from normbench import api, plugins
from normbench.data import dataset_info
from normbench.errors import NormbenchError
from normbench.models import MODELS
from normbench.nn.layers import ACTIVATIONS
from normbench.norms import NORMS

IMPORTS = """\
import torch
from torch import nn
from torch.utils.data import TensorDataset
"""
NORM = """
class MyNorm(nn.Module):
    def __init__(self, features, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(features))

    def forward(self, x):
        return self.gain * x * (x.square().mean(1, keepdim=True) + self.eps).rsqrt()
"""
NETS = """
class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.hidden = nn.Linear(4, width)
        self.norm = nn.BatchNorm1d(width)
        self.head = nn.Linear(width, 3)

    def forward(self, x):
        return self.head(self.norm(self.hidden(x.flatten(1))).relu())

def make_net(input_shape, classes, width=8):
    inputs = input_shape[0] * input_shape[1] * input_shape[2]
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, classes))
"""
SETS = """
def clouds(count, shift=1.0):
    y = torch.arange(count) % 3
    x = torch.randn(count, 4, generator=torch.Generator().manual_seed(count))
    return TensorDataset(x + shift * y[:, None], y)
"""
CONFIG = {
    "name": "tiny",
    "seeds": 1,
    "data": {"name": "digits", "train_size": 100, "test_size": 50, "batch_size": 20},
    "model": {"name": "mlp", "depth": 1, "width": 8},
    "train": {"steps": 6, "eval_every": 3},
}


@pytest.fixture(autouse=True)
def data_root(tmp_path, monkeypatch):
    monkeypatch.setenv("NORMBENCH_DATA", str(tmp_path / "data"))
    with plugins.unchanged():
        yield tmp_path / "data"


@pytest.fixture
def book(monkeypatch):
    return execute([IMPORTS, NORM, NETS, SETS], "a_book", monkeypatch)


def ids(config, **options):
    return [one.run_id for one in api.plan(config, device="cpu", **options).runs]


def run(folder, config, **options):
    api.run(config, results=folder, device="cpu", threads=1, **options)
    return pd.read_csv(folder / "tiny" / "runs.csv")


def test_a_class_may_stand_in_place_of_its_name(book):
    named = {**CONFIG, "sweep": {"model.norm": ["none", "my_norm"], "model.norm.eps": [1e-3]}}
    found = ids(named, own=[book.MyNorm])
    for norms in (["none", book.MyNorm], [{"name": "none"}, {"name": book.MyNorm}]):
        assert ids({**named, "sweep": {"model.norm": norms, "model.norm.eps": [1e-3]}}) == found
    model = {"name": "mlp", "depth": 1, "width": 8, "norm": {"name": book.MyNorm, "eps": 1e-3}}
    assert ids({**CONFIG, "model": model}) == found[1:]
    assert ids({**CONFIG, "model": {**model, "norm": NORMS["batchnorm"]}}) == ids(
        {**CONFIG, "model": {**model, "norm": "batchnorm"}}
    )


def test_the_place_in_the_config_says_what_a_module_is(book, monkeypatch):
    execute_more(book, "class Leak(nn.Module):\n    def __init__(self, slope=0.1):\n        super().__init__()\n        self.slope = slope\n"
                 "    def forward(self, x):\n        return torch.where(x > 0, x, self.slope * x)\n", "<leak>", monkeypatch)  # fmt: skip
    ids({**CONFIG, "sweep": {"model.activation": ["relu", book.Leak]}})
    assert "leak" in ACTIVATIONS
    ids({**CONFIG, "data": (book.clouds(30), book.clouds(12)), "train": {"steps": 2}, "model": book.Net,
         **{"data": {"name": (book.clouds(30), book.clouds(12)), "batch_size": 10}}})  # fmt: skip
    assert "net" in MODELS
    assert "net" not in ACTIVATIONS


def test_a_class_of_an_installed_package_is_imported(tmp_path):
    norms = ["layernorm", torch.nn.LayerNorm]
    runs = run(tmp_path, {**CONFIG, "sweep": {"model.norm": norms, "model.norm.eps": [1e-5]}})
    assert list(runs["model.norm"]) == ["layernorm", "layer_norm"]
    assert runs["final_train_loss"].nunique() == 1  # ours is that of torch
    (source,) = (tmp_path / "tiny" / "plugins").rglob("layer_norm.py")
    assert source.read_text(encoding="utf-8").startswith(
        "from torch.nn.modules.normalization import LayerNorm"
    )


def test_a_function_makes_a_normalization(book, monkeypatch):
    execute_more(
        book, "def odd(features, eps=1e-3):\n    return MyNorm(features, eps)\n", "<odd>", monkeypatch
    )
    ids({**CONFIG, "sweep": {"model.norm": [book.odd], "model.norm.eps": [1e-5, 1e-3]}})
    assert NORMS["odd"](name="odd").eps == 1e-3
    said = "own: odd is given as an activation; it must be an nn.Module class whose __init__ takes nothing"
    assert said in refused({**CONFIG, "model": {"name": "mlp", "activation": book.odd}})


def test_a_plain_module_is_a_model_and_so_is_a_function(book, tmp_path):
    train, test = book.clouds(60), book.clouds(30)
    train.name = "clouds"
    config = {
        **CONFIG,
        "seeds": 2,
        "data": {"name": (train, test), "batch_size": 20},
        "model": {},
        "sweep": {"model.name": [book.Net, book.make_net], "model.width": [4, 8]},
    }
    with plugins.unchanged():
        runs = run(tmp_path, config)
    assert list(runs["model.name"]) == ["net"] * 4 + ["make_net"] * 4
    assert set(runs["status"]) == {"finished"}
    assert runs["final_train_loss"].nunique() == 8  # each seed has weights of its own
    sources = {path.name for path in (tmp_path / "tiny" / "plugins").rglob("*.py")}
    assert sources == {"clouds.py", "net.py", "make_net.py"}
    assert "net" not in MODELS  # as in a later session, which gives names alone
    names = {**config, "data": {"name": "clouds", "batch_size": 20}}
    names["sweep"] = {"model.name": ["net", "make_net"], "model.width": [4, 8]}
    done = api.run(names, results=tmp_path, device="cpu", threads=1)
    assert (done.trained, done.skipped) == (0, 8)


def test_other_items_are_other_runs(book, data_root):
    def plan(train):
        return ids({**CONFIG, "data": {"name": (train, book.clouds(12)), "batch_size": 10}})

    first = plan(book.clouds(30))
    assert plan(book.clouds(30)) == first
    assert len(list(data_root.rglob("*.npz"))) == 1
    assert plan(book.clouds(30, shift=2.0)) != first
    assert plan(book.clouds(30)) == first
    changed = book.clouds(30)
    assert plan(changed) == first
    changed.tensors[0][0] = 0.0  # the object is the same
    assert plan(changed) != first


def test_a_data_set_is_named_in_own_too(book, tmp_path):
    train = book.clouds(60)
    train.name = "My Clouds"
    config = {**CONFIG, "data": {"name": "my_clouds", "batch_size": 20}, "sweep": {"optimizer.lr": [0.1]}}
    runs = run(tmp_path, config, own=[train])
    assert list(runs["status"]) == ["finished"]
    assert ids({**config, "data": {"name": train, "batch_size": 20}}) == list(runs["run_id"])


def refused(config, **options):
    with pytest.raises(NormbenchError) as error:
        ids(config, **options)
    return str(error.value)


def model(book, given, **options):
    data = {"name": (book.clouds(30), book.clouds(12)), "batch_size": 10}
    return {**CONFIG, "data": data, "model": {"name": given, **options}}


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("A = Net", {"norm": "batchnorm"}, "'net' is a plain module, which ignores model.norm; leave it out, or derive"),
        ("A = Net", {"dropout": {"rate": 0.5, "placement": "input"}}, "which ignores model.dropout"),
        ("A = Net()", {}, "own: found an object of Net; give the class, or a function that makes the module"),
        ("A = lambda: Net()", {}, "has no source that can be found"),
        ("def A(width):\n    return Net(width)\n", {}, "own: A is given as a model, and width has no value; it may take `inp"),
        ("def A(bias=True):\n    return Net()\n", {}, "own: A has an argument 'bias', an option of each model; call the arg"),
        ("def A():\n    return 3\n", {}, "'a' makes a int; a model is an nn.Module"),
        ("class A(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.head = nn.Linear(4, 5)\n"
         "    def forward(self, x):\n        return self.head(x.flatten(1))\n", {}, "it must return logits (10, 3)"),
        ("class A(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.head = nn.Linear(7, 3)\n"
         "    def forward(self, x):\n        return self.head(x.flatten(1))\n", {}, "shapes cannot be multiplied"),
    ],
)  # fmt: skip
def test_what_is_no_model_is_refused(book, text, options, said, monkeypatch):
    execute_more(book, text, "<a>", monkeypatch)
    assert said in refused(model(book, book.A, **options))


def test_names_of_data_sets_are_their_own(book):
    one, other = book.clouds(30), book.clouds(60)
    assert "two data sets are called 'tensor_dataset'; give it another name: `dataset.name =" in refused(
        {**CONFIG, "sweep": {"data.name": [one, other]}}
    )
    one.name = "digits"
    assert "the data set 'digits' has the name of one of normbench; give it another name" in refused(
        {**CONFIG, "data": one}
    )
    one.name = "!"
    assert "own: '!' gives no name for configs" in refused({**CONFIG, "data": one})


def test_a_config_that_holds_itself_is_refused():
    config = dict(CONFIG)
    config["model"] = config
    assert "nested deeper than 40 levels" in refused(config)


def test_a_torch_optimizer_is_refused_with_the_lines_to_write(monkeypatch):
    text = refused({**CONFIG, "optimizer": {"name": torch.optim.Adagrad}})
    assert text.startswith("own: Adagrad is a torch Optimizer. Its `step` counts and branches in Python")
    code = text.partition("\n\n")[2]
    head = "import torch\nfrom typing import Literal\n"
    book = execute([head + code], "the_lines", monkeypatch)  # the lines work as they stand
    assert ids({**CONFIG, "optimizer": {"name": book.MyAdagrad}})


def test_a_config_with_objects_names_its_results(book, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = {**CONFIG, "data": {"name": book.clouds(60), "batch_size": 20}, "model": book.make_net}
    finished = api.run(config, device="cpu", threads=1)
    assert finished.trained == 1
    assert len(api.load(config).runs) == 1


def test_they_are_sent_without_their_files(book, data_root):
    """As to a worker of Ray: the texts, the stacks, and the images by another way."""
    with plugins.unchanged():
        plan = api.plan(model(book, book.make_net, width=4), device="cpu")
        texts, stacks = pickle.dumps(plugins.loaded()), pickle.dumps(plan.stacks)
    shutil.rmtree(data_root)
    assert "make_net" not in MODELS
    plugins.load_again(pickle.loads(texts))
    (stack,) = pickle.loads(stacks)
    settings = stack.runs[0].settings
    assert type(settings.model) is MODELS["make_net"]
    info = dataset_info(settings.data)
    assert (info.input_shape, info.classes, info.train, info.test) == ((1, 1, 4), 3, 30, 12)
    assert settings.model.build(info.input_shape, info.classes)(torch.ones(5, 1, 1, 4)).shape == (5, 3)


@pytest.mark.thorough
def test_workers_get_them_as_well(tmp_path):
    main = f"""
def sets():
    train = clouds(60)
    train.name = "clouds"
    return train, clouds(30)

if __name__ == "__main__":
    import normbench
    config = {CONFIG!r}
    config |= {{"data": {{"name": sets(), "batch_size": 20}}, "model": {{}}, "sweep": {{"model.name": [Net, make_net]}}}}
    normbench.run(config, launcher="processes", workers=1, device="cpu", results="there")
    normbench.run(config, launcher="local", threads=1, device="cpu", results="here")
"""
    script = tmp_path / "script.py"
    script.write_text(IMPORTS + NETS + SETS + main, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    here, there = (pd.read_csv(tmp_path / where / "tiny" / "metrics.csv") for where in ("here", "there"))
    columns = ["run_id", "step", "train_loss", "test_loss"]
    assert here[columns].equals(there[columns])
    assert here["run_id"].nunique() == 2
