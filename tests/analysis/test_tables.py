"""A folder whose files someone changed: what can be read is, what cannot is named with file and column."""

from __future__ import annotations

import pytest
from helpers.made_up import rate_runs, write

from normbench.analysis.tables import load_layers, load_tables, seeds_of
from normbench.errors import RecordsError


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
        ("runs.csv", "run_id,seed\na,0\n", "columns missing: status"),
        ("runs.csv", "run_id,seed,status\na,0,finished\na,1,finished\n", "run_id: some run has two rows"),
        ("runs.csv", "run_id,seed,status\na,x,finished\n", "seed: found something else"),
        ("runs.csv", "run_id,seed,status\n", "no run has ended yet"),
        ("metrics.csv", "epoch,train_loss\n1,2\n", "columns missing: run_id, step"),
        ("metrics.csv", "run_id,step\na,b\n", "damaged"),
        ("metrics.csv", "run_id,step\na,99999999999999999999\n", "damaged"),
        ("metrics.csv", "", "damaged"),
        ("config.yaml", "seeds: 2\ntrain: {trains_below: x}\n", "train.trains_below: 'x' is no number"),
        ("config.yaml", "seeds: 2\ntrain: {steps: .inf}\n", "train.steps: 'inf'"),
        ("config.yaml", "seeds: 1000000000\n", "seeds: '1000000000' is no number of seeds"),
        ("config.yaml", "seeds: [a]\n", "is no number of seeds and no list of them"),
    ],
)  # fmt: skip
def test_what_was_changed_is_named_with_its_file(folder, name, text, named):
    (folder / name).write_text(text)
    with pytest.raises(RecordsError) as found:
        load_tables(folder)
    assert str(found.value).startswith(f"{folder / name}" if "no run" not in named else str(folder))
    assert named in str(found.value)


@pytest.mark.parametrize("text", ["step,layer\n1,a\n", "run_id,step,layer,quantity,value\na,1,b,c,d\n"])
def test_layers_that_were_changed_are_named_with_their_file(folder, text):
    (folder / "layers.csv").write_text(text)
    with pytest.raises(RecordsError, match=r"layers\.csv: (damaged|columns missing: run_id)"):
        load_layers(load_tables(folder))
