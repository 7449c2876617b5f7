"""`load` gives tidy frames with the numbers of the files; notebooks show tables, with names escaped."""

from __future__ import annotations

import csv

import pandas as pd
import pytest
from helpers.results import claim, rate_runs, write

from normbench import api
from normbench.analysis.tables import load_tables
from normbench.analysis.verify import COLUMNS
from normbench.errors import NormbenchError

NORMS = {"none": 0.5, "batchnorm": 0.9}


@pytest.fixture
def folder(tmp_path):
    runs = [
        one
        for norm, best in NORMS.items()
        for seed in range(3)
        for one in rate_runs(
            {"model.norm": norm},
            seed,
            [0.1, 1, 10],
            "TTD",
            curve={0: 0.1, 500: best / 2, 1000: best - seed / 100},
            final_test_accuracy=best - seed * best / 100,
        )
    ]
    own = claim("final_accuracy", expect={"difference_at_least": 0.05})
    write(tmp_path / "made_up", runs, [{**own, "statement": "<script>alert(1)</script>"}])
    return tmp_path / "made_up"


def test_curves_have_the_settings_and_the_numbers_of_the_file(folder):
    results = api.load(folder)
    runs = results.runs.set_index("run_id")
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(results.curves) == len(rows) > 0
    by_place = {(one.run_id, one.step): one for one in results.curves.itertuples()}
    keys = list(results.curves.columns)
    for row in rows:
        one = by_place[row["run_id"], int(row["step"])]
        assert one.test_accuracy == pytest.approx(float(row["test_accuracy"]))
        for key in ("model.norm", "optimizer.lr", "seed", "status", "outcome"):
            assert one[1 + keys.index(key)] == runs.loc[row["run_id"], key]


def test_the_older_frames_are_as_they_were(folder):
    results, tables = api.load(folder), load_tables(folder)
    pd.testing.assert_frame_equal(results.runs, tables.runs)
    pd.testing.assert_frame_equal(results.metrics, tables.metrics)
    ids = results.runs["run_id"].to_numpy()[results.metrics["run"].to_numpy()]
    assert list(results.metrics["run_id"]) == list(ids)
    pd.testing.assert_frame_equal(results.layers, tables.layers)
    assert "run_id" in results.layers.columns


def test_verdicts_are_those_of_the_command_and_nothing_is_written(folder):
    frame = api.load(folder).verdicts
    assert not (folder / "claims.csv").exists()
    verified = api.verify(folder)
    written = pd.read_csv(folder / "claims.csv")
    assert list(frame.columns) == list(COLUMNS)
    assert list(frame["verdict"]) == list(written["verdict"]) == ["supported"]
    assert frame["estimate"][0] == pytest.approx(written["estimate"][0])
    assert frame["ci_low"].dtype == "float64"
    assert repr(verified).endswith("supported)")


def test_results_without_claims_have_no_verdicts(tmp_path):
    write(tmp_path / "x", rate_runs({"model.norm": "none"}, 0, [0.1], "T"))
    frame = api.load(tmp_path / "x").verdicts
    assert (len(frame), list(frame.columns)) == (0, list(COLUMNS))


def test_notebooks_show_tables_with_names_escaped(folder):
    results = api.load(folder)
    html = results._repr_html_()
    assert "<td>batchnorm</td>" in html
    assert "0.891 [" in html
    shown = api.verify(results, write=False)._repr_html_()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "<script>" not in shown
    compared = api.compare(results, folder)
    assert not compared.moved
    assert "<td>batchnorm, learning rate 10</td>" in compared._repr_html_()
    assert repr(compared).startswith("Compared(0 of ")
    assert repr(results).endswith("made_up': 18 of 18 runs ended)")


def test_results_are_found_by_a_folder_a_config_or_what_was_loaded(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    folder.parent.joinpath("results").mkdir()
    moved = folder.rename(folder.parent / "results" / "made_up")
    file = folder.parent / "a.yaml"
    file.write_text("name: made_up\n", encoding="utf-8")
    for given in (moved, str(moved), {"name": "made_up"}, file, api.load(moved)):
        assert len(api.load(given).runs) == 18
    with pytest.raises(NormbenchError, match=r"^results: this config has no valid name"):
        api.load({"name": "no/name"})
