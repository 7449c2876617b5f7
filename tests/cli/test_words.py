"""The command line's words: options of other tools, status in 80 columns, fewer seeds than recorded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import results
from typer.testing import CliRunner

import normbench
from normbench.analysis.tables import load_tables
from normbench.cli import app
from normbench.records import ResultsFolder, read_runs

CONFIG = """name: tiny
seeds: 2
data: {name: digits, batch_size: 20, train_size: 200}
model: {name: mlp, depth: 1, width: 8}
train: {steps: 10, eval_every: 5}
sweep: {model.norm: [none, bn], optimizer.lr: [0.1, 1]}
claims:
- {id: a, statement: x, measure: final_accuracy, of: {model.norm: BN}, against: {model.norm: none},
   expect: {difference_at_least: 0}}
"""


def call(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(CONFIG)
    return "tiny.yaml"


@pytest.mark.parametrize(
    ("args", "own"),
    [
        (("--seeds", "5"), "write --set seeds=5"),
        (("--lr", "0.1"), "write --set optimizer.lr=0.1"),
        (("--lr=0.1",), "write --set optimizer.lr=0.1"),
        (("-lr", "0.1"), "write --set optimizer.lr=0.1"),
        (("--lr", "[0.1, 1]"), "write --set 'optimizer.lr=[0.1, 1]'"),
        (("--norm", "bn"), "write --set model.norm=bn"),
        (("--batch-size", "20"), "write --set data.batch_size=20"),
        (("--learning-rate", "1"), "write --set optimizer.lr=1"),
        (("--model.depth", "3"), "write --set model.depth=3"),
        (("--depth",), "write --set model.depth=VALUE"),
        (("--epochs", "3"), "write --set train.steps=N"),
        (("--gpu",), "write --device cuda"),
        (("--no-cuda",), "write --device cpu"),
        (("--config", "x.yaml"), "normbench plan x.yaml"),
        (("--device", "gpu"), "A GPU of NVIDIA is '--device cuda'"),
        (("--device", "cuda:1"), "A GPU of NVIDIA is '--device cuda'"),
        (("--device", "metal"), "A GPU of Apple is '--device mps'"),
    ],
    ids=" ".join,
)
def test_the_commands_own_way_is_named(config, args, own):
    result = call("plan", config, *args)
    assert result.exit_code == 2
    assert own in " ".join(result.stderr.split())


def test_other_options_keep_typer_s_words(config):
    for words in (("plan", config, "--foo"), ("status", "--seeds", "3")):
        said = call(*words).stderr
        assert "No such option" in said
        assert next(word for word in words if str(word).startswith("--")) in said
    assert "--plugin" in call("plan", config, "--plugn").stderr
    assert "--set" not in call("status", "--seeds", "3").stderr


@pytest.mark.parametrize(("option", "choice"), [("--device", "CPU"), ("--executor", "Looped")])
def test_choices_are_taken_in_any_case(config, option, choice):
    assert call("plan", config, option, choice).exit_code == 0


def test_status_fits_80_columns(tmp_path):
    outcomes = "TSDC."
    for name, many in (("a_long_name_of_an_experiment_of_many_words", outcomes), ("short", "TSD")):
        runs = [results.run({"model.norm": "none"}, seed, many[seed % len(many)]) for seed in range(1500)]
        results.write(tmp_path / name, runs)
    for folder in (tmp_path, tmp_path / "short"):
        result = call("status", folder)
        lines = result.stdout.splitlines()[1:]  # the first has the folder's name
        assert max(map(len, lines)) <= 80
        assert "1,500" in result.stdout
        assert "500" in result.stdout
    assert "crashed" not in result.stdout  # no run of it is
    assert "outcome" not in result.stdout


def test_fewer_seeds_than_recorded_are_no_reason_to_refuse(config):
    folder = Path("results/tiny")
    assert call("run", "--no-figures", config, "--set", "seeds=4").exit_code == 0
    before = {name: (folder / name).read_bytes() for name in ("runs.csv", "metrics.csv")}
    result = call("run", "--no-figures", config, "--json")
    assert result.exit_code == 0, result.stderr
    (answer,) = json.loads(result.stdout)
    assert (answer["trained"], answer["skipped"]) == (0, 8)
    assert "results/tiny keeps 8 runs of other seeds (2, 3)" in result.stderr
    assert sorted(read_runs(folder)["seed"]) == sorted([0, 1, 2, 3] * 4)  # results are kept
    assert sorted(load_tables(folder).runs["seed"]) == sorted([0, 1] * 4)  # the config names two
    assert set(load_tables(folder).metrics["run"]) == set(range(8))
    (verdict,) = json.loads(call("verify", folder, "--json").stdout)
    assert verdict["n"] == 2
    assert call("run", "--no-figures", config, "--set", "seeds=4").exit_code == 0
    assert before == {name: (folder / name).read_bytes() for name in before}  # nothing was trained again
    (verdict,) = json.loads(call("verify", folder, "--json").stdout)
    assert verdict["n"] == 4


@pytest.mark.parametrize("seeds", ["[1]", "[3, 0]", "[7]"])
def test_any_choice_of_seeds_keeps_the_others(config, seeds):
    folder = Path("results/tiny")
    assert call("run", "--no-figures", config).exit_code == 0
    assert call("run", "--no-figures", config, "--set", f"seeds={seeds}").exit_code == 0
    chosen = json.loads(seeds)
    assert set(load_tables(folder).runs["seed"]) == set(chosen)
    assert set(read_runs(folder)["seed"]) == {0, 1, *chosen}
    result = call("run", "--no-figures", config, "--json")
    assert json.loads(result.stdout)[0]["trained"] == 0


def test_other_settings_are_still_refused(config):
    assert call("run", "--no-figures", config, "--set", "seeds=3").exit_code == 0
    result = call("run", "--no-figures", config, "--set", "optimizer.lr=[0.1]")
    assert result.exit_code == 2
    assert "--keep-old" in result.stderr


def test_a_seed_that_only_began_is_set_aside_with_a_word(config):
    from normbench.config import dump_config, load_config
    from normbench.planning.plan import make_plan

    both, one = (make_plan(load_config(config, [f"seeds={n}"]), None, "cpu") for n in (2, 1))
    with ResultsFolder("results/tiny") as folder:
        folder.open_for_run(both, dump_config(both.experiment))
    with ResultsFolder("results/tiny") as folder:
        folder.open_for_run(one, dump_config(one.experiment))
        assert folder.warnings == []  # pending runs are nothing to keep


MERGED = """name: s
seeds: 1
data: digits
model: {name: mlp, depth: 1, width: 8}
train: {steps: 10, eval_every: 5}
"""


@pytest.mark.parametrize(
    ("sweep", "sentence"),
    [
        (
            "{optimizer: [sgd, adam], optimizer.momentum: [0.0, 0.9]}",
            "adam: optimizer.momentum 0.0 and 0.9 give the same cells (it has no optimizer.momentum)",
        ),
        (
            "{model: [mlp, cnn], model.head: [average, flatten]}",
            "mlp: model.head average and flatten give the same cells (it has no model.head)",
        ),
        (
            "{model.norm: [none, bn], model.norm.eps: [1e-5, 1e-3]}",
            "none: model.norm.eps 1e-05 and 0.001 give the same cells (it has no model.norm.eps)",
        ),
    ],
)
def test_what_has_no_such_option_is_named(tmp_path, sweep, sentence):
    path = tmp_path / "x.yaml"
    path.write_text(f"{MERGED}sweep: {sweep}\n")
    assert sentence in call("plan", path).stdout


@pytest.mark.parametrize("model", ["mlp", "deep_linear"])
def test_a_ghost_batch_of_one_is_the_cause_that_is_named(tmp_path, model):
    path = tmp_path / "x.yaml"
    net = f"{{name: {model}, depth: 2, width: 8, norm: {{name: batchnorm, ghost: 1}}}}"
    text = MERGED.replace("{name: mlp, depth: 1, width: 8}", net)
    path.write_text(text.replace("digits", "{name: digits, batch_size: 16}"))
    text = call("plan", path).stderr
    assert "ghost: 1 makes batches of one" in text
    assert "model.norm.ghost must be at least 2" in text
    assert "batch_size" not in text


@pytest.mark.parametrize(
    "before",
    [
        "import normbench.planning, normbench.planning.plan, normbench.api",
        pytest.param(
            "import normbench, sys, types; normbench.plan; normbench.plan = types.ModuleType('x')",
            marks=pytest.mark.thorough,
        ),
        pytest.param(
            "import normbench; normbench.__path__.append('.'); import normbench.plan, normbench.run",
            marks=pytest.mark.thorough,
        ),
    ],
)
def test_plan_is_always_the_function(tmp_path, before):
    for name in ("plan", "run", "load"):  # as modules that version 0.1 left behind
        (tmp_path / f"{name}.py").write_text("x = 1\n")
    program = f"{before}\nfrom normbench import load, plan, run\n"
    program += "print(plan.__module__, callable(run), callable(load))"
    path = [str(Path(normbench.__file__).parents[1]), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {path!r}\n{program}"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["normbench.api", "True", "True"]
