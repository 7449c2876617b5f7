"""A folder whose files someone changed: what can be read is, what cannot is named with file and column."""

from __future__ import annotations

import pytest
from helpers.results import rate_runs, run, write

from normbench.analysis.tables import load_layers, load_tables, seeds_of
from normbench.errors import RecordsError
from normbench.records.schema import METRICS, runs_table

RUNS = ",".join(runs_table([]).names) + "\n"
RUN = "a,0,finished" + "," * (len(runs_table([]).columns) - 3) + "\n"
METRICS_HEAD = ",".join(METRICS.names) + "\n"


@pytest.fixture
def folder(tmp_path):
    runs = [run for seed in (0, 1) for run in rate_runs({"model.norm": "none"}, seed, [0.1, 1], "TD")]
    return write(tmp_path / "x", runs, seeds=2)


def test_a_whole_folder_is_read(folder):
    tables = load_tables(folder)
    assert (len(tables.runs), len(seeds_of(tables)), tables.steps) == (4, 2, "1,000 steps")
    assert load_layers(tables).empty


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("runs.csv", "run_id,seed\na,0\n", ":1: The header is run_id,seed; it must begin with"),
        ("runs.csv", RUNS + RUN + RUN, ":3: run_id: a has two rows"),
        ("runs.csv", RUNS + RUN.replace(",0,", ",x,", 1), ":2: seed: 'x' is not a whole number"),
        ("runs.csv", RUNS, "no run has ended yet"),
        ("metrics.csv", "epoch,train_loss\n1,2\n", ":1: The header is not run_id,step,"),
        ("metrics.csv", METRICS_HEAD + "a,b,,,,,,,,\n", ":2: step: 'b' is not a whole number"),
        ("metrics.csv", METRICS_HEAD + f"a,{'9' * 20},,,,,,,,\n", ":2: step: '9999"),
        ("metrics.csv", METRICS_HEAD + "a,1,,,,\n", ":2: 6 cells, where the header has 10"),
        ("metrics.csv", METRICS_HEAD + "a,1,0x10,,,,,,,\n", ":2: epoch: '0x10' is not a number"),
        ("config.yaml", "seeds: 2\ntrain: {trains_below: x}\n", "train.trains_below: 'x' is not a number"),
        ("config.yaml", "seeds: 2\ntrain: {steps: .inf}\n", "train.steps: 'inf'"),
        ("config.yaml", "seeds: 1000000000\n", "seeds: '1000000000' is neither a number of seeds nor a list"),
        ("config.yaml", "seeds: [a]\n", "is neither a number of seeds nor a list of them"),
    ],
)  # fmt: skip
def test_what_was_changed_is_named_with_its_file(folder, name, text, named):
    run_id = load_tables(folder).runs["run_id"][0] if name == "metrics.csv" else "a"
    (folder / name).write_text(text.replace("\na,", f"\n{run_id},"))
    with pytest.raises(RecordsError) as found:
        load_tables(folder)
    assert str(found.value).startswith(f"{folder / name}" if "no run" not in named else str(folder))
    assert named in str(found.value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("step,layer\n1,a\n", "1: The header is not run_id,step,layer,quantity,value"),
        ("run_id,step,layer,quantity,value\na,1,b,c,d\n", "2: value: 'd' is not a number"),
    ],
)
def test_layers_that_were_changed_are_named_with_their_file(folder, text, named):
    run_id = load_tables(folder).runs["run_id"][0]
    (folder / "layers.csv").write_text(text.replace("\na,", f"\n{run_id},"))
    with pytest.raises(RecordsError, match=rf"layers\.csv:{named}"):
        load_layers(load_tables(folder))


def test_an_empty_file_of_metrics_is_told(folder):
    (folder / "metrics.csv").write_text("")
    tables = load_tables(folder)
    assert tables.metrics.empty
    assert f"{folder / 'metrics.csv'}: the last line is torn" in tables.warnings[0]


def test_rows_of_curves_have_the_id_of_their_run_and_tables_a_short_repr(tmp_path):
    runs = [run({"model.norm": norm}, 0, curve={0: 0.1, 10: 0.5}) for norm in ("none", "batchnorm")]
    tables = load_tables(write(tmp_path / "r", runs))
    ids = tables.runs["run_id"].to_numpy()
    assert tables.metrics["run_id"].tolist() == ids[tables.metrics["run"]].tolist()
    assert repr(tables) == "<Tables made_up: 2 runs, 4 rows of metrics, swept: model.norm>"
