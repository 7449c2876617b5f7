"""The sources of plug-ins are kept with the results, loaded when a sweep goes on, named when they differ."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from helpers.cli import call, good
from helpers.plugins import CONFIG, HELPERS, LAZY, NORM, records, rows, run_ids, sweep, write

from normbench import api, plugins
from normbench.config import load_config
from normbench.launch.session import Session, SessionOptions
from normbench.planning.plan import make_plan

FROZEN = Path(__file__).parent / "frozen_0_2"


def command(name, *args):
    """Call a command as a new process would: without what the one before has loaded."""
    with plugins.unchanged():
        return call(name, *args)


def run(folder, *args):
    return command("run", sweep(folder), "--results", folder, "--device", "cpu", *args)


def test_a_sweep_goes_on_with_the_sources_that_it_keeps(tmp_path):
    path = write(tmp_path, own=LAZY, my_helpers=HELPERS)
    done = run(tmp_path, "--plugin", path)
    assert done.exit_code == 0, done.stderr
    (record,) = records(tmp_path / "tiny")
    kept = tmp_path / "tiny" / "plugins" / record["identity"][:16]
    assert {one.name: one.read_text() for one in kept.iterdir()} == {"own.py": LAZY, "my_helpers.py": HELPERS}
    before = run_ids(tmp_path / "tiny")["own"]
    path.unlink()
    (tmp_path / "my_helpers.py").unlink()

    done = run(tmp_path, "--set", "seeds=3")
    assert done.exit_code == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "own.py" in line]
    assert said == [f"own.py: no --plugin names it; loaded as it is kept in {kept}"]
    assert "trained 2 runs" in done.stderr
    assert run_ids(tmp_path / "tiny")["own"][:2] == before
    assert {row["status"] for row in rows(tmp_path / "tiny")} == {"finished"}
    assert records(tmp_path / "tiny") == [record]


def test_shards_keep_it_and_who_merges_names_none(tmp_path):
    path = write(tmp_path, own=LAZY, my_helpers=HELPERS)
    for shard in ("1/2", "2/2"):
        done = run(tmp_path, "--shard", shard, "--plugin", path)
        assert done.exit_code == 0, done.stderr
    path.unlink()
    (tmp_path / "my_helpers.py").unlink()
    done = command("merge", tmp_path / "tiny")
    assert done.exit_code == 0, done.stderr
    assert "own.py: no --plugin names it; loaded as it is kept in" in done.stderr
    assert [row["status"] for row in rows(tmp_path / "tiny")] == ["finished"] * 4
    assert len(list((tmp_path / "tiny" / "plugins").glob("*/own.py"))) == 1
    shutil.rmtree(tmp_path / "tiny" / "shards")
    done = run(tmp_path, "--set", "seeds=3", "--shard", "1/1")
    assert done.exit_code == 0, done.stderr
    assert "trained 2 runs" in done.stderr


def test_a_kept_package_and_several_configs(tmp_path):
    folder = write(tmp_path, {"lab/__init__.py": "from . import norms\n", "lab/norms.py": NORM}).parent
    done = run(tmp_path, "--plugin", folder)
    assert done.exit_code == 0, done.stderr
    shutil.rmtree(folder)
    other = tmp_path / "other.yaml"
    other.write_text(CONFIG.replace("tiny", "other").replace("none, own", "none"))
    done = command(
        "run", sweep(tmp_path), other, "--set", "seeds=3", "--results", tmp_path, "--device", "cpu"
    )
    assert done.exit_code == 0, done.stderr
    assert done.stderr.count("lab: no --plugin names it; loaded as it is kept in") == 1
    assert [len(ids) for ids in run_ids(tmp_path / "tiny").values()] == [3, 3]


def test_an_installed_package_that_is_gone_is_loaded_as_it_was_kept(tmp_path, monkeypatch):
    site = tmp_path / "site"
    write(site, {"lab/__init__.py": "", "lab/norms.py": NORM})
    meta = site / "lab-1.2.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: lab\nVersion: 1.2\n")
    (meta / "entry_points.txt").write_text("[normbench.plugins]\nnorms = lab.norms\n")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(site))
        assert run(tmp_path).exit_code == 0
        for name in ("lab", "lab.norms"):
            del sys.modules[name]
    (record,) = records(tmp_path / "tiny")
    assert (record["entry_point"], record["package"]) == ("norms", "lab 1.2")
    done = run(tmp_path, "--set", "seeds=3")
    assert done.exit_code == 0, done.stderr
    assert "norms: no --plugin names it" in done.stderr
    assert records(tmp_path / "tiny") == [record]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "# a comment\n" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("A layer of one's own.", "Another docstring."),
    ],
    ids=["comment", "CRLF", "docstring"],
)
def test_what_changes_no_code_changes_no_run(change, tmp_path):
    assert run(tmp_path, "--plugin", write(tmp_path, own=NORM)).exit_code == 0
    assert change(NORM) != NORM
    done = run(tmp_path, "--plugin", write(tmp_path, renamed=change(NORM)))
    assert done.exit_code == 0, done.stderr
    assert "trained 0 runs" in done.stderr


def test_an_edited_plugin_counts_and_is_named_as_the_reason(tmp_path):
    path = write(tmp_path, own=LAZY, my_helpers=HELPERS)
    done = run(tmp_path, "--plugin", path)
    assert done.exit_code == 0, done.stderr
    write(tmp_path, own=LAZY.replace("self.g *", "2 * self.g *"))
    done = run(tmp_path, "--plugin", path)
    assert done.exit_code == 2
    assert "2 of its 4 finished runs are not in this config" in done.stderr
    assert "\n  own.py has changed since these runs were trained (sha " in done.stderr
    assert "not recorded" not in done.stderr

    write(tmp_path, own=LAZY, my_helpers=HELPERS.replace("0.01", "0.02"))
    done = run(tmp_path, "--plugin", path)
    assert done.exit_code == 2
    assert (
        "\n  my_helpers.py, which belongs to own.py, has changed since these runs were trained" in done.stderr
    )

    done = run(tmp_path, "--plugin", path, "--keep-old")
    assert done.exit_code == 0, done.stderr
    assert "trained 2 runs" in done.stderr
    (record,) = records(tmp_path / "tiny")
    kept = tmp_path / "tiny" / "plugins"
    assert len(list(kept.iterdir())) == 2
    assert "0.02" in (kept / record["identity"][:16] / "my_helpers.py").read_text()


def test_reading_results_executes_no_code(tmp_path):
    assert run(tmp_path, "--plugin", write(tmp_path, own=NORM)).exit_code == 0
    (kept,) = (tmp_path / "tiny" / "plugins").rglob("own.py")
    kept.write_text("raise SystemExit('executed')\n")
    for name in ("plot", "verify", "status"):
        done = command(name, tmp_path / "tiny")
        assert done.exit_code == 0, done.stderr
    done = run(tmp_path, "--set", "seeds=3")
    assert done.exit_code == 2
    assert (
        "is not as it was kept with these results; name the plug-in yourself (--plugin own.py)" in done.stderr
    )


@pytest.mark.parametrize(
    "change",
    [
        {"main": "../../own.py", "files": {"../../own.py": "0"}},
        {"files": {"own.py": "0", "/etc/passwd": "0"}},
        {"registers": None},
        {"identity": "../.."},
        {"module": 3},
        {"files": []},
    ],
)
def test_a_record_that_was_changed_loads_nothing(change, tmp_path):
    assert run(tmp_path, "--plugin", write(tmp_path, own=NORM)).exit_code == 0
    file = tmp_path / "tiny" / "environment.json"
    content = json.loads(file.read_text())
    content["sessions"][-1]["plugins"][0].update(change)
    file.write_text(json.dumps(content))
    done = run(tmp_path)
    assert done.exit_code == 2
    assert "'own' is unknown" in done.stderr


def test_compare_says_first_that_a_name_stands_for_other_code(tmp_path):
    for place, text in (("a", NORM), ("b", NORM.replace("0.01", "0.02")), ("c", NORM + "# comment\n")):
        (tmp_path / place).mkdir()
        path = write(tmp_path / place, own=text)
        assert run(tmp_path / place, "--plugin", path, "--set", "seeds=3").exit_code == 0
    done = command("compare", tmp_path / "a" / "tiny", tmp_path / "b" / "tiny")
    first = done.stderr.splitlines()[0]
    assert first.startswith("tiny: normalization: own: not the same code in both (own.py, sha ")
    answer = json.loads(command("compare", tmp_path / "a" / "tiny", tmp_path / "b" / "tiny", "--json").stdout)
    assert answer["different_plugins"] == [first]
    done = command("compare", tmp_path / "a" / "tiny", tmp_path / "c" / "tiny")
    assert done.exit_code == 0
    assert done.stderr == ""


# Results of version 0.2, whose run ids count the name and the bytes of the file.


@pytest.fixture
def old(tmp_path):
    shutil.copytree(FROZEN, tmp_path / "old")
    return tmp_path / "old"


def go_on(old, *args, plugin="own.py"):
    return command(
        "run",
        old / "frozen.yaml",
        "--plugin",
        old / plugin,
        "--results",
        old,
        "--device",
        "cpu",
        "--threads",
        1,
        *args,
    )


@pytest.mark.thorough
def test_results_of_version_0_2_go_on_under_their_own_ids(old):
    before = rows(old / "frozen")
    assert [row["status"] for row in before] == ["finished"] * 6 + ["interrupted"] * 6
    done = go_on(old)
    assert done.exit_code == 0, done.stderr
    assert "trained 6 runs" in done.stderr
    after = rows(old / "frozen")
    old_columns = [{name: row[name] for name in before[0]} for row in after]
    assert old_columns[:6] == before[:6]
    assert {row["inference_train_loss"] for row in after[:6]} == {""}  # which version 0.2 did not measure
    assert [row["run_id"] for row in after] == [row["run_id"] for row in before]
    assert {row["stack"] for row in after} == {row["stack"] for row in before}  # it was continued
    for name in ("plot", "verify"):
        good(name, old / "frozen")

    done = go_on(old, "--set", "seeds=4")
    assert "trained 4 runs" in done.stderr
    assert [row["run_id"] for row in rows(old / "frozen") if row["seed"] != "3"] == [
        row["run_id"] for row in before
    ]
    done = command("run", old / "frozen.yaml", "--set", "seeds=5", "--results", old, "--device", "cpu")
    assert done.exit_code == 0, done.stderr
    assert "trained 4 runs" in done.stderr
    assert "18 " not in done.stderr


def test_the_runs_that_version_0_2_trained_are_trained_alike(old, tmp_path):
    """The older ids stand for the same settings: what goes on equals what is trained from the beginning."""
    go_on(old)
    command(
        *("run", old / "frozen.yaml", "--plugin", old / "own.py", "--results", tmp_path / "new"),
        *("--device", "cpu", "--threads", 1),
    )
    names = ("seed", "model.depth", "optimizer.lr", "final_test_loss")
    both = [
        [[row[name] for name in names] for row in rows(folder / "frozen")]
        for folder in (old, tmp_path / "new")
    ]
    assert [row[:3] for row in both[0]] == [row[:3] for row in both[1]]
    assert [float(row[3]) for row in both[0]] == pytest.approx([float(row[3]) for row in both[1]], rel=1e-4)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text + "# comment\n", r"own.py has changed since these runs were trained \(sha "),
        (
            lambda text: text.replace("LayerNorm(features)", "LayerNorm(features, 1e-3)"),
            "own.py has changed since",
        ),
    ],
)
def test_a_file_that_changed_since_version_0_2_is_named(change, reason, old):
    (old / "own.py").write_text(change((old / "own.py").read_text()))
    done = go_on(old)
    assert done.exit_code == 2
    assert "6 of its 6 finished runs are not in this config" in done.stderr
    assert done.stderr.count("own.py has changed since these runs were trained (sha ") == 1


def test_a_renamed_file_of_version_0_2_is_named(old):
    (old / "own.py").rename(old / "renamed.py")
    done = go_on(old, plugin="renamed.py")
    assert done.exit_code == 2
    assert "own.py is called renamed.py now; version 0.2 counted the name, so rename it back" in done.stderr


def test_a_search_of_version_0_2_goes_on_under_its_own_ids(tmp_path):
    """The ids of a search for the edge are in two places of the plan."""
    config = tmp_path / "edge.yaml"
    config.write_text(
        CONFIG.replace("tiny", "edge").replace("[none, own]", "[own]").replace("steps: 20", "steps: 200")
        + "  optimizer.lr: {edge: {from: 0.01, to: 100, precision: 3}}\n"
    )
    plugins.load_plugins([write(tmp_path, own=NORM)])
    plan = make_plan(load_config(config), device="cpu")
    older = plan.with_older_ids({run_id for run in plan.runs for run_id in run.older})
    assert not {run.run_id for run in older.runs} & {run.run_id for run in plan.runs}
    assert {id_ for one in older.searches for id_ in one.ids} == {run.run_id for run in older.runs}
    stopped = Session(older, SessionOptions(tmp_path), should_stop=lambda: True).run()
    assert stopped.interrupted
    before = {row["run_id"] for row in rows(tmp_path / "edge")}
    assert before < {run.run_id for run in older.runs}
    finished = api.run(config, results=tmp_path, device="cpu")
    assert not finished.interrupted
    after = rows(tmp_path / "edge")
    assert before <= {row["run_id"] for row in after}
    assert {row["status"] for row in after} <= {"finished", "diverged"}
    assert len({(row["seed"], row["optimizer.lr"]) for row in after}) == len(after) > len(before)
