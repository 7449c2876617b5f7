"""A user's own code: registered like ours, recorded, and refused with its file and line."""

from __future__ import annotations

import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from normbench import api, plugins
from normbench.config import json_schema, parse_config
from normbench.errors import ConfigError, NormbenchError
from normbench.models.build import RENAMED
from normbench.norms import NORMS
from normbench.planning.plan import make_plan

PAGE = Path(__file__).parents[1] / "docs" / "your_own_layer.md"
PIECES = dict(re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S))
NORM = PIECES["my_norm.py"]

OTHERS = '''
from typing import Literal
import torch
from torch import nn
from normbench.data import DATASETS
from normbench.data.digits import Digits
from normbench.nn.layers import ACTIVATIONS
from normbench.models import MODELS
from normbench.models.mlp import MLP

@ACTIVATIONS.add("square")
class Square(nn.Module):
    """y = x |x|."""
    def forward(self, x):
        return x * x.abs()

@MODELS.add
class Wide(MLP):
    """A net of another name."""
    name: Literal["wide"] = "wide"

@DATASETS.add
class Twice(Digits):
    """Digits again."""
    name: Literal["twice"] = "twice"
'''


@pytest.fixture(autouse=True)
def _nothing_stays():
    with plugins.unchanged():
        yield


def written(folder: Path, text: str, name: str = "my_norm.py") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def config(**parts) -> str:
    data = {
        "name": "test",
        "seeds": 2,
        "data": {"name": "digits", "train_size": 200, "batch_size": 20},
        "model": {"name": "mlp", "depth": 2, "width": 10},
        "train": {"steps": 20, "eval_every": 10},
        **parts,
    }
    return yaml.safe_dump(data)


def ids(text: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for run in make_plan(parse_config(text), device="cpu").runs:
        found.setdefault(run.settings.model.norm.name, set()).add(run.run_id)
    return found


def test_the_page_is_true(tmp_path):
    """From nothing to a swept layer of one's own, trained in stacks, in some 20 lines."""
    assert set(PIECES) == {"my_norm.py", "my_sweep.yaml", "my_norm_running.py", "my_claim.yaml"}
    code = [line for line in NORM.splitlines() if line.strip() and not line.startswith(("import", "from"))]
    assert len(code) <= 20
    for name, text in PIECES.items():
        written(tmp_path, text, name)
    sweep = tmp_path / "my_sweep.yaml"
    finished = api.run(
        sweep,
        ["train.steps=60", "train.eval_every=30"],
        results=tmp_path / "results",
        device="cpu",
        plugins=[tmp_path / "my_norm.py"],
    )
    assert (finished.trained, finished.crashed) == (48, 0)
    assert max(len(stack.runs) for stack in finished.plan.stacks) == 12
    runs = pd.read_csv(finished.folder / "runs.csv")
    assert set(runs["model.norm"].fillna("none")) == {"none", "batchnorm", "clip"}
    (record,) = json.loads((finished.folder / "environment.json").read_text())["plugins"]
    assert record["file"] == "my_norm.py"
    assert len(record["sha256"]) == 64


def test_an_unknown_name_stays_unknown_without_the_plugin(tmp_path):
    text = config(model={"name": "mlp", "norm": {"name": "clip", "bound": 2.0}})
    with pytest.raises(ConfigError, match="'clip' is unknown"):
        parse_config(text)
    plugins.load_plugins([written(tmp_path, NORM)])
    assert parse_config(text).settings.model.norm.bound == 2.0
    assert "ClipNorm" in json_schema()["$defs"]


def test_everything_can_be_registered_and_swept_together(tmp_path):
    files = [written(tmp_path, NORM), written(tmp_path, OTHERS, "others.py")]
    path = tmp_path / "c.yaml"
    path.write_text(
        config(
            data={"name": "twice", "train_size": 100, "batch_size": 20},
            sweep={"model": ["mlp", "wide"], "model.norm": ["clip"], "model.activation": ["relu", "square"]},
        )
    )
    finished = api.run(path, results=tmp_path / "results", device="cpu", plugins=files)
    assert (finished.trained, finished.crashed) == (8, 0)
    wide = [run for run in finished.plan.runs if run.settings.model.name == "wide"]
    assert len(wide) == 4


def test_the_runs_of_a_changed_plugin_are_other_runs_and_no_others_are(tmp_path):
    text = config(sweep={"model.norm": ["none", "clip"]})
    found = []
    for code in (NORM, NORM + "changed = 1\n"):
        with plugins.unchanged():
            plugins.load_plugins([written(tmp_path, code)])
            found.append(ids(text))
    assert found[0]["none"] == found[1]["none"]
    assert not found[0]["clip"] & found[1]["clip"]


def test_loading_twice_is_once_and_a_changed_file_is_refused(tmp_path):
    path = written(tmp_path, NORM)
    plugins.load_plugins([path, path])
    plugins.load_plugins([path])
    assert len(plugins.loaded()) == 1
    written(tmp_path, NORM + "# only a comment\n")
    plugins.load_plugins([path])
    written(tmp_path, NORM + "changed = 1\n")
    with pytest.raises(NormbenchError, match="has changed since this process loaded it"):
        plugins.load_plugins([path])


PLAIN = """\
import torch
from torch import nn


class MedianNorm(nn.Module):
    def __init__(self, features, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(features))

    def forward(self, x):
        centered = x - x.median(1, keepdim=True).values
        return centered / (centered.abs().mean(1, keepdim=True) + self.eps) * self.gain
"""


def test_a_file_with_one_plain_module_needs_no_decorator(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(config(sweep={"model.norm": ["none", {"name": "median_norm", "eps": 0.1}]}))
    finished = api.run(path, results=tmp_path / "r", device="cpu", plugins=[written(tmp_path, PLAIN)])
    assert (finished.trained, finished.crashed) == (4, 0)
    assert NORMS["median_norm"](eps=0.1).module(3).eps == 0.1
    (kept,) = (finished.folder / "plugins").rglob("my_norm.py")
    assert kept.read_text() == PLAIN
    with plugins.unchanged():  # as another process: the copy is loaded in the same way
        assert api.run(path, results=tmp_path / "r", device="cpu").trained == 0


FAULTS = {
    "no such file": (None, r"my_norm.py cannot be read \(No such file"),
    "syntax": ("x = 1\ny = = 2\n", r"my_norm.py:2:5: not Python: invalid syntax"),
    "error": ("import torch\n\ntorch.nothing\n", r"my_norm.py:3: AttributeError: .*nothing"),
    "exit": ("raise SystemExit(3)\n", r"my_norm.py:1: SystemExit: 3"),
    "nothing": ("x = 1\n", r"my_norm.py: it registers nothing"),
    "a name taken": (
        NORM.replace('"clip"', '"batchnorm"'),
        r"my_norm.py:\d+: .*'batchnorm' is there already",
    ),
    "no name": (NORM.replace('Literal["clip"] = "clip"', "str"), r"my_norm.py:\d+: ClipNorm has no name"),
    "no docstring": (re.sub(r'    """.*?"""\n', "", NORM), r"my_norm.py:\d+: ClipNorm has no docstring"),
    "which module": (
        PLAIN + "\n\nclass Other(MedianNorm):\n    pass\n",
        r"my_norm.py: it registers nothing, and of its classes \(MedianNorm, Other\) each could be meant",
    ),
    "no features": (
        PLAIN.replace("features, eps=1e-5", "features, eps"),
        r"my_norm.py: MedianNorm.__init__ must take the number of features, and further arguments with defa",
    ),
    "decorated": (
        "from normbench.norms import NORMS\n" + PLAIN.replace("class", "@NORMS.add\nclass"),
        r"my_norm.py:\d+: MedianNorm is no normalization; .*a file with one plain nn.Module needs none",
    ),
    "another kind": (NORM.replace("(Normalization)", ""), r"my_norm.py:\d+: .* is no normalization; derive"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_name_file_and_line_and_leave_nothing_behind(fault, tmp_path):
    text, message = FAULTS[fault]
    path = tmp_path / "my_norm.py" if text is None else written(tmp_path, text)
    before = list(NORMS), json_schema()
    with pytest.raises(NormbenchError, match=message):
        plugins.load_plugins([path])
    assert (list(NORMS), json_schema()) == before
    assert not plugins.loaded()


def test_a_fault_after_a_registration_takes_it_back(tmp_path):
    with pytest.raises(NormbenchError, match="ZeroDivisionError"):
        plugins.load_plugins([written(tmp_path, NORM + "\n1 / 0\n")])
    assert "clip" not in NORMS
    plugins.load_plugins([written(tmp_path, NORM)])
    assert "clip" in NORMS


def test_a_layer_that_cannot_be_made_is_said_by_the_plan(tmp_path):
    code = NORM.replace("torch.ones(features)", "torch.ones(features, 'x')")
    plugins.load_plugins([written(tmp_path, code)])
    with pytest.raises(NormbenchError, match=r"^my_norm.py:\d+: TypeError: .*'mlp' with 'clip'"):
        ids(config(sweep={"model.norm": ["none", "clip"]}))


HIDDEN = {
    "nn.functional.dropout(x, 0.5)": "dropout",
    "nn.functional.dropout(x, 0.5, self.training)": "dropout",
    "nn.Dropout(0.5)(x)": "dropout",
    "x + torch.randn_like(x)": "randn_like",
    "x * torch.empty_like(x).bernoulli_(0.5)": "bernoulli_",
}


@pytest.mark.parametrize("executor", ["vectorized", "looped"])
@pytest.mark.parametrize("code", HIDDEN)
def test_hidden_randomness_is_refused(code, executor, tmp_path):
    """Guards against a layer whose masks depend on the neighbours in its stack."""
    body = NORM.replace("x.clamp(-self.bound, self.bound)", f"({code})")
    assert body != NORM
    path = tmp_path / "c.yaml"
    path.write_text(config(sweep={"model.norm": ["clip"]}))
    with pytest.raises(NormbenchError, match=f"'{HIDDEN[code]}'.*normbench.nn.layers.Noisy"):
        api.run(path, results=tmp_path, device="cpu", executor=executor, plugins=[written(tmp_path, body)])


def test_parameters_that_a_layer_draws_itself_come_from_the_seed(tmp_path):
    code = NORM.replace("torch.ones(features)", "torch.randn(features)")
    path = tmp_path / "c.yaml"
    path.write_text(config(sweep={"model.norm": ["clip"]}))
    rows = []
    for place in ("a", "b"):
        torch.manual_seed(len(rows))
        finished = api.run(path, results=tmp_path / place, device="cpu", plugins=[written(tmp_path, code)])
        rows.append((finished.folder / "metrics.csv").read_bytes())
    assert rows[0] == rows[1]


def test_workers_and_the_command_line_load_it_too(tmp_path):
    norm, path = written(tmp_path, NORM), tmp_path / "c.yaml"
    path.write_text(config(sweep={"model.norm": ["none", "clip"]}))
    command = [
        sys.executable,
        "-m",
        "normbench",
        "run",
        str(path),
        "--plugin",
        str(norm),
        "--json",
        "--no-figures",
    ]
    command += ["--launcher", "processes", "--workers", "1", "--results", str(tmp_path), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)
    assert (answer["trained"], answer["crashed"]) == (4, 0)


def test_an_installed_package_is_found_by_its_entry_point(tmp_path, monkeypatch):
    written(tmp_path, NORM, "clip_package.py")
    meta = tmp_path / "clip_package-1.2.dist-info"
    meta.mkdir()
    written(meta, "Metadata-Version: 2.1\nName: clip-package\nVersion: 1.2\n", "METADATA")
    written(meta, "[normbench.plugins]\nclips = clip_package\n", "entry_points.txt")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "clip_package", raising=False)
    plugins.load_plugins()
    assert "clip" in NORMS
    (plugin,) = plugins.loaded()
    assert plugin.record() == {
        "entry_point": "clips",
        "package": "clip-package 1.2",
        "sha256": plugin.sha256,
        "identity": plugin.identity,
        "main": "clip_package.py",
        "module": "clip_package",
        "files": {"clip_package.py": plugin.sources[0].tree},
        "registers": ["normalization: clip"],
    }
    assert len(plugin.sha256) == len(plugin.identity) == 64


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("from normbench.layers import Dropout", "normbench.layers is normbench.nn.layers since"),
        ("import normbench.functional as F", "normbench.functional is normbench.nn.functional since"),
        ("from normbench import layers", "normbench.layers is normbench.nn.layers since"),
        ("from normbench.stats import wilson", "normbench.stats is normbench.stats.intervals and "),
        ("from normbench.nn.layers import Nope", "ImportError: cannot import name 'Nope'"),
        ("from normbench.stats.intervals import Nope", "ImportError: cannot import name 'Nope'"),
        ("import normbench.nope", "ModuleNotFoundError: No module named 'normbench.nope'"),
    ],
)
def test_a_module_that_moved_is_named_with_its_new_place(line, message, tmp_path):
    path = written(tmp_path, f"import torch\n{line}\n" + NORM)
    with pytest.raises(NormbenchError, match=rf"my_norm.py:2: {re.escape(message)}"):
        plugins.load_plugins([path])


@pytest.mark.parametrize("old", plugins.MOVED)
def test_every_module_that_moved_is_where_it_is_said_to_be(old, tmp_path):
    with pytest.raises(NormbenchError, match=f"{old} is .* since version 0.2"):
        plugins.load_plugins([written(tmp_path, f"from {old} import Nope\n")])
    for new in plugins.MOVED[old].split(" and "):
        pkgutil.resolve_name(new)  # a module, or a name in one


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_a_layer_with_a_hook_of_an_old_name_is_refused(old, new, tmp_path):
    """Guards against a layer of 0.1 whose hook is ignored, so that it trains something else."""
    code = NORM.replace("    def forward(self, x)", f"    {old} = None\n\n    def forward(self, x)")
    plugins.load_plugins([written(tmp_path, code)])
    with pytest.raises(NormbenchError, match=rf"Clip.{old} .*is called {new} since version 0.2; rename it"):
        ids(config(sweep={"model.norm": ["none", "clip"]}))
