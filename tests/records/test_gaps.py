"""Rows missing between others: `status`, `verify`, `plot` and `run` name the runs that lack some."""

from __future__ import annotations

import re
import shutil

import pytest
from helpers.cli import call, config_file, good
from helpers.records_folder import make_plan, stacks_of, train
from helpers.shipped import SHIPPED

from normbench.records import ResultsFolder, folder_status
from normbench.records.gaps import gaps_of
from normbench.stats.evaluations import evaluation_steps

WRITTEN = "name: x\ntrain: {steps: 30, eval_every: 10}\n"
CONFIG = """\
name: tiny
seeds: 2
data: {name: digits, train_size: 100, test_size: 20, batch_size: 20}
model: {name: mlp, depth: 1, width: 4}
train: {steps: 40, eval_every: 10}
probes: [weights]
sweep:
  train.steps: [30, 40]
  optimizer.lr: [0.1, 0.01]
claims:
  - {id: A, statement: small trains, measure: final_accuracy, of: {optimizer.lr: 0.1},
     against: {optimizer.lr: 0.01}, expect: {difference_at_least: 0}}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gaps")
    call("run", config_file(folder, CONFIG), "--results", folder, "--no-figures", "--device", "cpu")
    assert (folder / "tiny" / "layers.csv").exists()
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "r")
    return tmp_path / "r" / "tiny"


def without(path, is_gone):
    """Remove the rows that a filter would hide; return the runs that lost one."""
    head, *rows = path.read_text().splitlines(keepends=True)
    gone = [row for row in rows if is_gone(row.split(","))]
    assert gone
    path.write_text("".join([head, *(row for row in rows if row not in gone)]))
    return {row.split(",")[0] for row in gone}


def told(result):
    return re.sub(r"\s+", " ", result.stderr)


def said_by_all(folder, name):
    """Return the sentence of each command about a file."""
    texts = [told(call("plot", folder, "--figure", "rate", "--format", "png"))]
    texts += [told(call(command, folder)) for command in ("status", "verify")]
    for text in texts:
        assert re.search(rf"{name}: rows of .* are missing", text), text
    return texts


def test_a_whole_folder_has_no_gaps(folder):
    assert gaps_of(folder) == []
    assert "missing" not in told(call("status", folder))


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_shipped_results_have_no_gaps(folder):
    assert gaps_of(folder) == []


def finished(folder):
    rows = [line.split(",") for line in (folder / "runs.csv").read_text().splitlines()[1:]]
    return next(row[0] for row in rows if "finished" in row)


LOST = {
    "one row": lambda one: lambda row: row[0] == one and row[1] == "10",
    "all but the last": lambda one: lambda row: row[0] == one and row[1] in ("0", "10", "20"),
    "the first": lambda one: lambda row: row[0] == one and row[1] == "0",
    "a step of every run": lambda one: lambda row: row[1] == "10",
}


@pytest.mark.parametrize("how", LOST)
def test_rows_missing_in_metrics_are_noticed_by_every_command(folder, how):
    one = finished(folder)
    lost = without(folder / "metrics.csv", LOST[how](one))
    before = {name: (folder / name).read_bytes() for name in ("runs.csv", "metrics.csv")}
    for text in said_by_all(folder, "metrics.csv") if how == "one row" else gaps_of(folder):
        assert any(run_id in text for run_id in lost)
        assert f"{len(lost)} finished runs" in text if len(lost) > 1 else one in text
    refused = call("run", folder.parent / "tiny.yaml", "--results", folder.parent, "--device", "cpu")
    assert refused.exit_code == 2
    assert "metrics.csv: rows of" in told(refused)
    assert {name: (folder / name).read_bytes() for name in before} == before


LOST_LAYERS = {
    "one row": lambda one, row: row[0] == one and row[1] == "10" and row[3] == "weights.norm",
    "a step of a run": lambda one, row: row[0] == one and row[1] == "10",
    "a run": lambda one, row: row[0] == one,
}


@pytest.mark.parametrize("how", LOST_LAYERS)
def test_rows_missing_in_layers_are_noticed_and_measured_again(folder, trained, how):
    one = finished(folder)
    seen = iter(range(10**6))
    once = how != "one row"
    without(folder / "layers.csv", lambda row: LOST_LAYERS[how](one, row) and (once or next(seen) == 0))
    for text in said_by_all(folder, "layers.csv") if how == "one row" else gaps_of(folder):
        assert one in text
    good("run", folder.parent / "tiny.yaml", "--results", folder.parent, "--device", "cpu", "--no-figures")
    for name in ("layers.csv", "metrics.csv"):
        assert (folder / name).read_bytes() == (trained / "tiny" / name).read_bytes()


def test_a_diverged_run_that_is_not_merged_yet_lacks_no_rows(tmp_path):
    plan = make_plan()
    with ResultsFolder(tmp_path) as results:
        results.open_for_run(plan, WRITTEN)
        train(results, stacks_of(plan)[1], upto=11)  # two of its runs diverge at step 15, two go on
        assert len(results.finished_ids()) == 2
        assert gaps_of(tmp_path) == []
    with ResultsFolder(tmp_path) as results:
        results.open_for_run(plan, WRITTEN)
    assert gaps_of(tmp_path) == []


def test_the_last_row_missing_names_the_run(folder):
    one = finished(folder)
    without(folder / "metrics.csv", lambda row: row[0] == one and int(row[1]) >= 30)
    (warning,) = folder_status(folder).warnings
    assert f"trained again: {one}" in warning


def test_without_a_config_that_tells_the_steps_nothing_is_said(folder):
    (folder / "config.yaml").write_text("name: tiny\ntrain: {eval_every: some}\n")
    without(folder / "metrics.csv", lambda row: row[1] == "10")
    assert gaps_of(folder) == []


@pytest.mark.parametrize(
    ("how", "steps"),
    [
        ({"every": 10}, [0, 10, 20, 30]),
        ({"every": 50}, [0, 30]),
        ({"at": [5, 30, 70]}, [0, 5, 30]),
        ({"log": 3}, [0, 1, 5, 30]),
    ],
)
def test_the_steps_of_evaluations(how, steps):
    assert evaluation_steps(30, **how) == steps
