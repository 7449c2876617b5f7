"""The commands from outside: what they print, write and end with."""

import gc
import json
import re
import shutil
import signal
from pathlib import Path
from typing import get_args

import pytest
from helpers.cli import CONFIG, call, config_file, good

from normbench import api
from normbench.analysis import verify
from normbench.cli.commands.plot import Format
from normbench.cli.commands.verify import Correction
from normbench.cli.options import Device, Executor, Launcher
from normbench.cli.output import duration
from normbench.engine.loop import StackTrainer
from normbench.launch.stop import StopFlag
from normbench.names import DEVICES, EXECUTORS, FORMATS, LAUNCHERS
from normbench.recipes import recipes

VERBS = ("run", "plan", "status", "plot", "verify", "compare", "data", "list", "init", "schema")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A results folder, with what the run that wrote it printed; tests that write take a copy."""
    folder = tmp_path_factory.mktemp("trained")
    result = good("run", config_file(folder), "--results", folder / "results", "--threads", 1)
    return folder, result


@pytest.fixture
def copy(trained, tmp_path):
    shutil.copytree(trained[0], tmp_path / "copy")
    return tmp_path / "copy"


def everything(folder):
    return {
        path.relative_to(folder): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_plan_is_made_without_searches_for_garbage_and_leaves_them_on(tmp_path, monkeypatch):
    seen = []

    def plan(*args, real=api.plan, **options):
        seen.append(gc.isenabled())
        return real(*args, **options)

    monkeypatch.setattr(api, "plan", plan)
    good("plan", config_file(tmp_path))
    assert call("plan", tmp_path / "none.yaml").exit_code == 2
    assert seen == [False, False]
    assert gc.isenabled()


def test_run_writes_the_records_and_says_where_the_figures_are(trained):
    folder, result = trained
    made = folder / "results" / "tiny"
    assert {path.name for path in made.iterdir()} >= {
        "runs.csv",
        "metrics.csv",
        "config.yaml",
        "environment.json",
    }
    assert {path.suffix for path in (made / "plots").glob("[!.]*")} == {".png", ".svg"}
    assert "batchnorm" in result.stdout
    assert f"Figures in {made / 'plots'}" in result.stdout
    assert "training 8 runs" in result.stderr  # progress and results do not mix
    assert "training 8 runs" not in result.stdout


def test_run_again_trains_nothing(copy):
    before = everything(copy)
    result = good("run", copy / "tiny.yaml", "--results", copy / "results", "--json")
    (answer,) = json.loads(result.stdout)
    assert (answer["trained"], answer["skipped"], answer["crashed"]) == (0, 8, 0)
    assert {row["model.norm"] for row in answer["variants"]} == {"none", "batchnorm"}
    assert all(Path(path).is_file() for path in answer["figures"])
    after = everything(copy)
    for name in ("runs.csv", "metrics.csv"):
        assert before[Path("results/tiny", name)][0] == after[Path("results/tiny", name)][0]


def test_a_new_seed_trains_only_its_own_runs(copy):
    kept = (copy / "results/tiny/metrics.csv").read_text().splitlines()
    result = good("run", copy / "tiny.yaml", "--results", copy / "results", "--set", "seeds=3", "--json")
    (answer,) = json.loads(result.stdout)
    assert (answer["trained"], answer["skipped"]) == (4, 8)
    assert set(kept) <= set((copy / "results/tiny/metrics.csv").read_text().splitlines())


def test_runs_that_the_config_no_longer_has_are_refused_or_kept(copy):
    before = everything(copy)
    arguments = ("run", copy / "tiny.yaml", "--results", copy / "results", "--set", "optimizer.lr=[0.1]")
    result = call(*arguments)
    assert result.exit_code == 2
    assert "--keep-old" in result.stderr
    after = everything(copy)
    assert {path: one[0] for path, one in before.items()} == {path: one[0] for path, one in after.items()}
    good(*arguments, "--keep-old")
    assert len((copy / "results/tiny/runs.csv").read_text().splitlines()) == 1 + 4


def test_crashed_runs_end_with_1_and_can_be_tried_again(tmp_path, monkeypatch):
    train = StackTrainer.events

    def events(self, *args):
        if any(run.values["optimizer.lr"] == 1 and run.seed == 1 for run in self.runs):
            raise RuntimeError("out of luck")
        yield from train(self, *args)

    arguments = ("run", config_file(tmp_path), "--results", tmp_path / "results")
    with monkeypatch.context() as broken:
        broken.setattr(StackTrainer, "events", events)
        result = call(*arguments, "--json")
    assert result.exit_code == 1, result.exception
    (answer,) = json.loads(result.stdout)
    assert (answer["trained"], answer["crashed"]) == (6, 2)
    assert "--retry crashed" in result.stderr
    result = call(*arguments, "--json")
    assert result.exit_code == 1  # they stay as they are
    assert json.loads(result.stdout)[0]["trained"] == 0
    (answer,) = json.loads(good(*arguments, "--retry", "crashed", "--json").stdout)
    assert (answer["trained"], answer["skipped"], answer["crashed"]) == (2, 6, 0)


def test_a_mistake_of_ours_stays_a_traceback(tmp_path, monkeypatch):
    def broken(*args, **options):
        raise ZeroDivisionError

    monkeypatch.setattr("normbench.api.plan", broken)
    assert isinstance(call("plan", config_file(tmp_path)).exception, ZeroDivisionError)


def test_the_second_signal_ends_at_once():
    with StopFlag() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGINT)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_several_configs_are_checked_before_the_first_trains(tmp_path):
    first = config_file(tmp_path)
    second = tmp_path / "second.yaml"
    second.write_text(CONFIG.replace("depth: 1", "depth: 0"))
    result = call("run", first, second, "--results", tmp_path / "results")
    assert result.exit_code == 2
    assert "second.yaml:4" in result.stderr
    second.write_text(CONFIG)
    result = call("run", first, second, "--results", tmp_path / "results")
    assert result.exit_code == 2
    assert "tiny" in result.stderr
    assert not (tmp_path / "results").exists()


BOMB = "a: &a [1, 2]\n" + "".join(
    f"{new}: &{new} [{', '.join(['*' + old] * 9)}]\n"
    for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)
BAD = {
    "unknown key": (CONFIG.replace("width: 8", "widht: 8"), "did you mean 'width'"),
    "unknown key deep": (CONFIG.replace("width: 8", "dropout: {rat: 0.1}"), "model.dropout.rat"),
    "wrong type": (CONFIG.replace("depth: 1", "depth: deep"), "model.depth"),
    "empty sweep": (CONFIG.replace("[0.1, 1]", "[]"), "optimizer.lr"),
    "duplicate key": (CONFIG + "seeds: 3\n", "seeds"),
    "rate of 0": (CONFIG.replace("[0.1, 1]", "[0, 1]"), "optimizer.lr"),
    "rate below 0": (CONFIG.replace("lr: 0.1}", "lr: -0.1}"), "optimizer.lr"),
    "batch larger than the data": (CONFIG.replace("batch_size: 20", "batch_size: 201"), "batch_size"),
    "depth 0": (CONFIG.replace("depth: 1", "depth: 0"), "model.depth"),
    "unknown data": (CONFIG.replace("digits", "digist"), "did you mean 'digits'"),
    "a tag": (CONFIG + "title: !!python/name:os.system x\n", "tag"),
    "an alias bomb": (BOMB + CONFIG, ""),
    "evil name": (CONFIG.replace("name: tiny", "name: ../../evil"), "name"),
    "not YAML": ("{" + CONFIG, ""),
    "empty": ("", "mapping"),
}


@pytest.mark.parametrize(("text", "expected"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("verb", ["run", "plan"])
def test_bad_configs_end_with_2_and_write_nothing(tmp_path, monkeypatch, verb, text, expected):
    monkeypatch.chdir(tmp_path)
    path = config_file(tmp_path, text)
    result = call(verb, path)
    assert result.exit_code == 2
    assert expected in result.stderr
    assert str(path) in result.stderr
    assert not result.stdout
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "args",
    [
        ("run", "absent.yaml"),
        ("run", "."),
        ("run",),
        ("plan", "tiny.yaml", "--set", "model.depth"),
        ("plan", "tiny.yaml", "--set", "model.deph=3"),
        ("plan", "tiny.yaml", "--device", "gpu"),
        ("plan", "tiny.yaml", "--executor", "fast"),
        ("run", "tiny.yaml", "--threads", "0"),
        ("run", "tiny.yaml", "--retry", "all"),
        ("run", "tiny.yaml", "--data-dir", "absent", "--set", "data={name: image_folder}"),
        ("status", "absent"),
        ("status", "."),
        ("plot", "absent"),
        ("list", "norm"),
        ("data", "mnits"),
        ("init", "first_lok"),
        ("fit", "tiny.yaml"),
    ],
    ids=" ".join,
)
def test_bad_usage_ends_with_2_and_writes_nothing(tmp_path, monkeypatch, args):
    monkeypatch.chdir(tmp_path)
    path = config_file(tmp_path)
    result = call(*args)
    assert result.exit_code == 2
    assert result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == [path]


def test_plan_shows_the_grid_and_trains_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = config_file(tmp_path)
    text = good("plan", path).stdout
    for expected in ("8 runs of 4 cells", "none", "batchnorm", "vectorized", "estimate", "MFLOP"):
        assert expected in text
    (answer,) = json.loads(good("plan", path, "--json").stdout)
    assert (answer["runs"], len(answer["cells"])) == (8, 4)
    assert sum(stack["runs"] for stack in answer["stacks"]) == 8
    plain = 64 * 8 + 8 + 8 * 10 + 10
    assert answer["cells"][0] == {
        "model.norm": "none",
        "optimizer.lr": 0.1,
        "parameters": plain,
        "step_flops": 20 * 2 * (2 * 64 * 8 + 3 * 8 * 10),
    }
    every = good("plan", path, "--cells", "--set", "optimizer.lr={logspace: {from: 0.01, to: 1, num: 3}}")
    assert sum("batchnorm" in line for line in every.stdout.splitlines()) == 3
    assert list(tmp_path.iterdir()) == [path]


def test_plan_sums_several_configs(tmp_path):
    one = config_file(tmp_path)
    other = tmp_path / "other.yaml"
    claim = (
        "claims: [{id: A, statement: It helps., measure: final_accuracy, of: {model.norm: batchnorm}, "
        "against: {model.norm: none}, expect: {difference_at_least: 0}}]\n"
    )
    other.write_text(
        one.read_text().replace("name: tiny", "name: other") + claim + "decide: {max_seeds: 8}\n"
    )
    told = json.loads(good("plan", one, other, "--json").stdout)
    last = good("plan", one, other).stdout.splitlines()[-1]
    first = told[0]["estimated_seconds"] + told[1]["decide"]["estimated_seconds_first"]
    most = told[0]["estimated_seconds"] + told[1]["decide"]["estimated_seconds_all"]
    assert last.startswith("All 2 configs: 16 runs; an estimate, not a measurement: about ")
    assert f"about {duration(first)}, {duration(most)} if all seeds of `decide:` are needed, and" in last
    assert "configs" not in good("plan", one).stdout.splitlines()[-1]


def test_plan_names_the_cells_that_it_merged(tmp_path):
    text = CONFIG.replace("[none, batchnorm]", "[selu]").replace(
        "optimizer.lr: [0.1, 1]", "model.activation: [relu, tanh]"
    )
    result = good("plan", config_file(tmp_path, text))
    assert "note: " in result.stdout
    assert "2 runs of 1 cell" in result.stdout


def test_status_counts(trained):
    (answer,) = json.loads(good("status", trained[0] / "results", "--json").stdout)
    assert (answer["name"], answer["runs"], answer["statuses"]["finished"]) == ("tiny", 8, 8)
    assert answer["seconds_left"] == 0
    assert "tiny" in good("status", trained[0] / "results" / "tiny").stdout


def test_plot_draws_what_is_asked_for(trained, tmp_path):
    result = good(
        *("plot", trained[0] / "results" / "tiny", "--figure", "rate", "--format", "png"),
        *("--color", "model.norm", "--out", tmp_path / "out"),
    )
    assert [Path(line) for line in result.stdout.splitlines()] == [tmp_path / "out" / "rate.png"]
    assert (tmp_path / "out" / "rate.png").stat().st_size > 1000


def test_plot_says_which_probe_a_figure_needs(trained):
    wish = ("--layer", "hidden.0", "--quantity", "ics.norm", "--step", "0", "--step", "10")
    result = call("plot", trained[0] / "results" / "tiny", "--figure", "percentiles", *wish)
    assert result.exit_code == 2
    assert "it shows what the probe 'activations' measures" in " ".join(result.stderr.split())


def test_plot_names_a_wrong_key_and_figure(trained):
    for option, wrong in (("--color", "model.nrm"), ("--figure", "rat"), ("--target", "2")):
        result = call("plot", trained[0] / "results", option, wrong, "--out", "never")
        assert result.exit_code == 2
        assert result.stderr
    assert not Path("never").exists()


@pytest.mark.parametrize("kind", ["norms", "models", "data", "optimizers", "measures", "figures", "recipes"])
def test_list(kind):
    rows = json.loads(good("list", kind, "--json").stdout)
    assert rows
    text = good("list", kind).stdout
    for row in rows:
        assert set(row) == {"name", "summary", "paper"}
        assert row["name"] in text
        assert row["summary"]


def test_data_says_what_is_there(tmp_path):
    rows = json.loads(good("data", "--json", "--data-dir", tmp_path).stdout)
    there = {row["name"]: row["available"] for row in rows}
    assert there["digits"]
    assert not there["mnist"]
    assert "embedded" in good("data", "--data-dir", tmp_path).stdout


def test_schema_is_the_committed_one():
    committed = (ROOT / "normbench.schema.json").read_text(encoding="utf-8")
    assert good("schema").stdout == committed, "refresh it: make schema"


@pytest.mark.parametrize("recipe", [recipe.name for recipe in recipes()])
def test_init_writes_a_config_that_plans(tmp_path, recipe):
    path = tmp_path / "mine.yaml"
    good("init", recipe, "--out", path)
    again = call("init", recipe, "--out", path)
    assert again.exit_code == 2
    assert "stays" in again.stderr
    if recipe not in ("own_images", "own_layer"):  # they need a folder and a plug-in
        good("plan", path)


@pytest.mark.parametrize("verb", VERBS)
def test_each_help_has_an_example(verb):
    text = good(verb, "--help").stdout
    assert "Example" in text
    assert f"normbench {verb}" in text


@pytest.mark.parametrize(
    ("choices", "names"),
    [
        (Device, DEVICES),
        (Executor, EXECUTORS),
        (Launcher, LAUNCHERS),
        (Format, FORMATS),
        (Correction, get_args(verify.Correction)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_choices_are_the_librarys(choices, names):
    assert tuple(choice.value for choice in choices) == names


def test_the_readmes_config_plans_and_its_commands_exist(tmp_path, monkeypatch):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    config, claims = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)  # the claims go below the sweep
    (tmp_path / "my_sweep.yaml").write_text(config + claims, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert "330 runs" in good("plan", "my_sweep.yaml").stdout
    shell = "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    for verb, rest in re.findall(r"^normbench (\w+)(.*)$", shell, re.MULTILINE):
        known = good(verb, "--help").stdout
        assert all(option in known for option in re.findall(r"--[a-z-]+", rest)), rest


def test_figures_can_be_left_out_and_drawn_later(tmp_path):
    good("run", config_file(tmp_path), "--results", tmp_path, "--no-figures")
    assert not list((tmp_path / "tiny").rglob("*.png"))
    good("plot", tmp_path / "tiny", "--figure", "rate")
    assert (tmp_path / "tiny" / "plots" / "rate.png").exists()
