# ruff: noqa: E501  (cells of notebooks in one line)
"""Classes from a notebook or a script, without a file: trained as in a file, hashed, kept, or refused."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pandas as pd
import pytest
from helpers.cells import execute, execute_more

from normbench import api, plugins
from normbench.errors import NormbenchError
from normbench.norms import NORMS
from normbench.records.sources import kept

IMPORTS = """\
import math
from typing import Literal
import torch
from torch import nn
from normbench.norms import NORMS, Normalization
"""
NORM = '''
@NORMS.add
class Clip(Normalization):
    """Clipping."""

    name: Literal["clip"] = "clip"
    bound: float = 1.0

    def module(self, features):
        return Cut(self.bound)
'''
CUT = """
SCALE = 2.0

def twice(x):
    return SCALE * x

class Cut(nn.Module):
    def __init__(self, bound):
        super().__init__()
        self.bound = bound

    def forward(self, x):
        return twice(x).clamp(-self.bound, self.bound) / math.sqrt(4)
"""
MODULE = """
class MyRMSNorm(nn.Module):
    def __init__(self, features, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(features))

    def forward(self, x):
        return self.gain * x * (x.square().mean(1, keepdim=True) + self.eps).rsqrt()
"""
CONFIG = {
    "name": "tiny",
    "seeds": 1,
    "data": {"name": "digits", "train_size": 100, "test_size": 50, "batch_size": 20},
    "model": {"name": "mlp", "depth": 1, "width": 8},
    "train": {"steps": 6, "eval_every": 3},
    "sweep": {"model.norm": ["none", "clip"]},
}


def cells(monkeypatch, *texts):
    return execute([IMPORTS, *texts], "a_notebook", monkeypatch)


def run(folder, config=CONFIG, **options):
    api.run(config, results=folder, device="cpu", threads=1, **options)
    return pd.read_csv(folder / "tiny" / "runs.csv"), pd.read_csv(folder / "tiny" / "metrics.csv")


def ids(config=CONFIG, **options):
    return [one.run_id for one in api.plan(config, device="cpu", **options).runs]


def test_a_class_is_trained_as_in_a_file_whose_source_is_kept(tmp_path, monkeypatch):
    file = tmp_path / "clip.py"
    file.write_text(IMPORTS + CUT + NORM, encoding="utf-8")
    with plugins.unchanged():
        of_file, curves_of_file = run(tmp_path / "file", plugins=[file])
    with plugins.unchanged():
        notebook = cells(monkeypatch, CUT, NORM)
        runs, curves = run(tmp_path / "cell", own=[notebook.Clip])
    assert curves.drop(columns="run_id").equals(curves_of_file.drop(columns="run_id"))
    assert runs["run_id"][0] == of_file["run_id"][0]  # the run that uses nothing of it
    assert runs["run_id"][1] != of_file["run_id"][1]  # another text, with another hash
    (record,) = kept(tmp_path / "cell" / "tiny")
    assert record["registers"] == ["normalization: clip"]
    (source,) = (tmp_path / "cell" / "tiny" / "plugins").rglob("*.py")
    assert ids(plugins=[source]) == list(runs["run_id"])  # the kept file is whole, and is the same code


def test_a_class_that_a_cell_registers_needs_not_be_given(monkeypatch):
    notebook = cells(monkeypatch, CUT, NORM)
    found = ids()
    assert ids(own=[notebook.Clip]) == found
    assert found[0] == ids({**CONFIG, "sweep": {"model.norm": ["none"]}})[0]


def test_a_cell_that_is_executed_again_replaces_its_class(monkeypatch):
    notebook = cells(monkeypatch, CUT, NORM)
    first = ids()
    execute_more(notebook, "# a comment\n" + NORM, "<again>", monkeypatch)
    assert ids() == first
    execute_more(notebook, NORM.replace("self.bound", "2 * self.bound"), "<changed>", monkeypatch)
    second = ids()
    assert (second[0], second[1] != first[1]) == (first[0], True)
    execute_more(notebook, CUT.replace("SCALE = 2.0", "SCALE = 3.0"), "<what it uses>", monkeypatch)
    assert ids()[1] not in (first[1], second[1])
    execute_more(notebook, CUT + NORM, "<as it was>", monkeypatch)
    assert ids() == first


def test_another_class_of_the_same_name_is_refused(monkeypatch):
    notebook = cells(monkeypatch, CUT, NORM)
    ids()
    with pytest.raises(NormbenchError, match="the normalization 'clip' is there already"):
        execute_more(notebook, NORM.replace("class Clip", "class Other"), "<other>", monkeypatch)


def test_a_class_that_was_given_once_is_the_one_that_the_notebook_has_now(monkeypatch):
    notebook = cells(monkeypatch, MODULE)
    config = {**CONFIG, "sweep": {"model.norm": ["my_rms_norm"]}}
    first = ids(config, own=[notebook.MyRMSNorm])
    assert ids(config) == first
    execute_more(notebook, MODULE.replace("self.gain * x", "2 * self.gain * x"), "<changed>", monkeypatch)
    assert ids(config) != first
    execute_more(notebook, MODULE, "<as it was>", monkeypatch)
    assert ids(config) == first


def test_a_module_is_a_normalization_with_its_arguments_as_options(tmp_path, monkeypatch):
    notebook = cells(monkeypatch, MODULE)
    sweep = {"model.norm": ["none", "my_rms_norm"], "model.norm.eps": [1e-5, 1.0]}
    runs, _ = run(tmp_path, {**CONFIG, "sweep": sweep}, own=[notebook.MyRMSNorm])
    assert list(runs["model.norm"]) == ["none", "my_rms_norm", "my_rms_norm"]
    assert list(runs["status"]) == ["finished"] * 3
    assert runs["final_test_loss"].nunique() == 3


def test_a_module_without_arguments_is_an_activation(tmp_path, monkeypatch):
    notebook = cells(
        monkeypatch, "class Square(nn.Module):\n    def forward(self, x):\n        return x * x * 0.1\n"
    )
    runs, _ = run(
        tmp_path, {**CONFIG, "sweep": {"model.activation": ["relu", "square"]}}, own=[notebook.Square]
    )
    assert list(runs["status"]) == ["finished"] * 2


OPTIMIZER = '''
from normbench.optimizers import Optimizer

class SignDescent(Optimizer):
    """w <- w - lr sign(g)."""

    name: Literal["sign"] = "sign"

    def update(self, params, grads, state, hyper):
        for key, w in params.items():
            w.sub_(self.per_run_of(hyper["lr"], w) * grads[key].sign())

    def per_run_of(self, value, like):
        return value.view(-1, *[1] * (like.dim() - 1))
'''
DATA = '''
from normbench.data import DataOptions, RawData, RawInfo, Survey, as_part

class Two(DataOptions):
    """Two clouds."""

    layout = "nothing (computed)"
    embedded = True
    name: Literal["two"] = "two"

    def survey(self, root):
        return Survey(RawInfo(input_shape=(1, 1, 4), classes=2, train=80, test=20))

    def read(self, root, survey, cache, progress=None):
        y = torch.arange(100) % 2
        x = torch.linspace(-1, 1, 400).view(100, 1, 1, 4) + y.view(-1, 1, 1, 1)
        return RawData(as_part(x[:80], y[:80]), as_part(x[80:], y[80:]), ("a", "b"), top=1)
'''


def test_an_optimizer_and_a_data_set_without_a_decorator(tmp_path, monkeypatch):
    notebook = cells(monkeypatch, OPTIMIZER, DATA)
    config = {
        **CONFIG,
        "data": {"name": "two", "batch_size": 20},
        "sweep": {"optimizer.name": ["sgd", "sign"], "optimizer.lr": [0.01]},
    }
    runs, _ = run(tmp_path, config, own=[notebook.SignDescent, notebook.Two])
    assert list(runs["status"]) == ["finished"] * 2
    assert runs["final_train_loss"].nunique() == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("TABLE = torch.ones(3)\nclass A(nn.Module):\n    def forward(self, x):\n        return x * TABLE.sum()\n",
         "uses TABLE, a value of type Tensor made outside of it"),
        ("half = lambda x: x / 2\nclass A(nn.Module):\n    def forward(self, x):\n        return half(x)\n",
         "uses half, which is another name for <lambda>"),
        ("def make():\n    class A(nn.Module):\n        def forward(self, x):\n            return x\n    return A\nA = make()\n",
         "is defined within a function or another class"),
        ("class A(nn.Module):\n    def forward(self, x):\n        return x\nA.forward = lambda self, x: 2 * x\n"
         "A.forward.__qualname__, A.forward.__name__ = 'A.forward', 'forward'\n",
         "has no source that can be found, or another one"),
        ("class A(torch.optim.SGD):\n    pass\n", "A is a torch Optimizer. Its `step` counts and branches in Python for one run"),
        ("class A(torch.utils.data.Dataset):\n    pass\n", "A is the class of a torch Dataset; give the data sets themselves, such as the pair (A(...)"),
        ("class A:\n    def f(self):\n        pass\n", "A is no class that can be trained; give an nn.Module"),
        ("class A(nn.Module):\n    def __init__(self, features, other):\n        super().__init__()\n",
         "A.__init__ must take the number of features, and further arguments with defaults (found features, o"),
        ("class A(nn.Module):\n    def __init__(self, features, name='x'):\n        super().__init__()\n",
         "has an argument 'name'"),
    ],
)  # fmt: skip
def test_what_cannot_be_recorded_or_trained_is_refused(text, said, monkeypatch):
    notebook = cells(monkeypatch, text)
    with pytest.raises(NormbenchError) as error:
        ids(own=[notebook.A])
    assert said in str(error.value)


def test_an_object_is_refused(monkeypatch):
    with pytest.raises(
        NormbenchError, match=r"^own: found 3; give the class itself, whose source is recorded"
    ):
        ids(own=[3])


def test_a_class_that_imports_a_file_from_beside_it_is_refused(tmp_path, monkeypatch):
    (tmp_path / "helper_of_it.py").write_text("def same(x):\n    return x\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    text = "from helper_of_it import same\nclass A(nn.Module):\n    def forward(self, x):\n        return same(x)\n"
    notebook = cells(monkeypatch, text)
    with pytest.raises(NormbenchError, match=r"^own: A uses helper_of_it\.py, which may have changed since"):
        ids(own=[notebook.A])


def test_a_name_that_is_taken_stays_and_the_class_is_refused(monkeypatch):
    text = "class Batchnorm(nn.Module):\n    def __init__(self, features):\n        super().__init__()\n"
    notebook = cells(monkeypatch, text)
    builtin = NORMS["batchnorm"]
    with pytest.raises(NormbenchError, match="the normalization 'batchnorm' is there already"):
        ids(own=[notebook.Batchnorm])
    assert NORMS["batchnorm"] is builtin


def python(text, folder, *arguments):
    """Run a script, or a text without a file if there are no arguments."""
    script = folder / "script.py"
    script.write_text(textwrap.dedent(text), encoding="utf-8")
    command = [sys.executable, *(arguments or (str(script),))]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.mark.thorough
def test_workers_train_the_classes_of_a_script(tmp_path):
    main = f"""
if __name__ == "__main__":
    import normbench
    config = {CONFIG!r}
    config["sweep"] = {{"model.norm": ["none", "clip", "my_rms_norm"]}}
    normbench.run(config, own=[MyRMSNorm], launcher="processes", workers=1, device="cpu")
"""
    done = python(IMPORTS + CUT + NORM + MODULE + main, tmp_path)
    assert done.returncode == 0, done.stderr
    runs = pd.read_csv(tmp_path / "results" / "tiny" / "runs.csv")
    assert list(runs["status"]) == ["finished"] * 3
    assert len(kept(tmp_path / "results" / "tiny")) == 2


def test_a_class_that_was_typed_into_a_command_is_refused(tmp_path):
    text = IMPORTS + MODULE + f"import normbench\nnormbench.plan({CONFIG!r}, own=[MyRMSNorm])\n"
    done = python("", tmp_path, "-c", text)
    assert done.returncode == 1
    assert "MyRMSNorm has no source that can be found" in done.stderr
    assert 'put it into a file, and give that: plugins=["my_file.py"]' in done.stderr
