"""The commands that only read: summary, table, show, query."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from helpers.cli import call, good
from helpers.results import claim, run, run_id, write

from normbench.analysis.one_run import find_run

QUICKSTART = Path(__file__).parents[2] / "results" / "quickstart"
LAYERS = [(0, "hidden.0", "gradients.norm", 0.5), (1000, "hidden.0", "gradients.norm", 0.125)]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Two experiments: one with claims and a crashed run, one that sweeps another key."""
    root = tmp_path_factory.mktemp("reading")
    runs = [
        run(
            {"model.norm": norm},
            seed,
            "C" if (norm, seed) == ("none", 2) else "T",
            curve={0: 0.1, 500: 0.5, 1000: value + seed / 100},
            layers=LAYERS,
            stack="abc",
            executor="vectorized",
        )
        for norm, value in (("none", 0.8), ("batchnorm", 0.9))
        for seed in range(3)
    ]
    write(root / "norms", runs, [claim("final_accuracy", expect={"difference_at_least": 0.05})])
    (root / "norms" / "crashes").mkdir()
    crash = root / "norms" / "crashes" / f"{run_id({'model.norm': 'none'}, 2)}.txt"
    crash.write_text("Traceback\nValueError: é", encoding="utf-8")
    write(root / "depths", [run({"model.depth": depth}, 0, curve={1000: 0.5}) for depth in (1, 2)])
    return root


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_summary_is_the_table_of_run(results):
    done = good("summary", results)
    assert "n = 1 seed" in done.stdout
    assert "n = 3 seeds" in done.stdout
    norms = json.loads(good("summary", results, "--json").stdout)[1]
    assert norms["experiment"] == "made_up"
    assert [row["variant"] for row in norms["variants"]] == ["none", "batchnorm"]
    assert norms["variants"][1]["best"]["estimate"] == pytest.approx(0.91)


def test_table_prints_verdicts_or_summary(results):
    assert "| C | It is so. |" in good("table", results / "norms").stdout
    assert "\\begin{tabular}" in good("table", results / "norms", "--format", "LaTeX").stdout
    assert "| norm |" in good("table", results / "norms", "--what", "summary").stdout
    without = good("table", results / "depths", "--what", "verdicts")
    assert not without.stdout
    assert "its config has no claims; --what summary" in without.stderr
    wrong = call("table", results / "norms", "--format", "latx")
    assert wrong.exit_code == 2
    assert "did you mean 'latex'? one of: latex, markdown" in wrong.stderr
    assert (
        "'parquet' is no format of tables" in call("table", results / "norms", "--format", "parquet").stderr
    )


def test_query_gives_the_cells_of_runs_csv():
    found = table(good("query", QUICKSTART).stdout)
    with (QUICKSTART / "runs.csv").open(encoding="utf-8", newline="") as file:
        known = list(csv.DictReader(file))
    assert [{key: row[key] for key in known[0]} for row in found] == known
    assert {row["experiment"] for row in found} == {"quickstart"}
    some = table(good("query", QUICKSTART, "model.norm == 'batchnorm' and seed in [0, 1]").stdout)
    assert [row["run_id"] for row in some] == [
        row["run_id"] for row in known if row["model.norm"] == "batchnorm" and row["seed"] in "01"
    ]
    assert len(some) == 22


def test_query_knows_settings_that_are_not_swept(results):
    found = json.loads(good("query", results, "model.depth == 2", "--json").stdout)
    assert [row["experiment"] for row in found] == ["depths"] + 6 * ["norms"]
    assert {row["model.norm"] for row in found} == {None, "none", "batchnorm"}  # a column of norms alone
    assert {row["model.depth"] for row in found} == {2}
    found = table(
        good("query", results, "experiment == 'norms' and data.batch_size > 1 and seed == 0").stdout
    )
    assert [row["data.batch_size"] for row in found] == ["60", "60"]


def test_query_says_that_nothing_matches_and_what_is_unknown(results):
    done = good("query", results, "seed == 99")
    assert len(done.stdout.splitlines()) == 1
    assert "no run meets the condition" in done.stderr
    wrong = call("query", results, "model.dept == 2")
    assert wrong.exit_code == 2
    assert "did you mean 'model.depth'?" in wrong.stderr
    assert not wrong.stdout


def test_show_tells_all_of_a_run(results):
    name = run_id({"model.norm": "batchnorm"}, 1)
    said = good("show", name, "--results", results).stdout
    assert f"run {name}, seed 1, in {results / 'norms'}" in said
    assert "finished, outcome trains" in said
    assert "stack abc of 6 runs, executor vectorized" in said
    assert "model.norm" in said
    assert "batch_size" in said
    assert "test_accuracy" in said
    assert "█" in said
    assert "hidden.0" in said
    assert "0.125" in said
    answer = json.loads(good("show", name[:6], "--results", results / "norms", "--json").stdout)
    assert answer["run_id"] == name
    assert answer["settings"]["model.norm"] == "batchnorm"
    assert answer["settings"]["model.depth"] == 2
    assert [row["test_accuracy"] for row in answer["metrics"]] == [0.1, 0.5, 0.91]
    assert [row["value"] for row in answer["layers"]] == [0.5, 0.125]
    assert answer["crash"] is None
    assert answer["runs_in_stack"] == 6


def test_show_has_the_traceback_of_a_crash(results):
    said = good("show", run_id({"model.norm": "none"}, 2), "--results", results).stdout
    assert "crashed" in said
    assert said.endswith("ValueError: é\n")


def test_show_of_an_unknown_run_names_the_near_one(results):
    name = run_id({"model.norm": "none"}, 0)
    wrong = call("show", name[:-1] + "x", "--results", results)
    assert wrong.exit_code == 2
    assert f"did you mean '{name}'?" in wrong.stderr
    assert "none of the 8 runs" in wrong.stderr
    assert call("show", name[:3], "--results", results).exit_code == 2  # too short for an id


def test_a_beginning_of_several_ids_is_refused(results, tmp_path):
    shutil.copytree(results / "depths", tmp_path / "depths")
    path = tmp_path / "depths" / "runs.csv"
    text = path.read_text(encoding="utf-8")
    for number, depth in enumerate((1, 2)):
        old, new = run_id({"model.depth": depth}, 0), f"abcdef00000{number}"
        text = text.replace(old, new)
        metrics = tmp_path / "depths" / "metrics.csv"
        metrics.write_text(metrics.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    wrong = call("show", "abcdef", "--results", tmp_path)
    assert "2 ids begin with it; write more of abcdef000000, abcdef000001" in wrong.stderr
    assert find_run([tmp_path / "depths"], "abcdef000001").settings["model.depth"] == 2
