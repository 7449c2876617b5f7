"""layers.csv through stops, workers and replays; and the metrics beside it, which must not change."""

from __future__ import annotations

import csv

import pytest
from helpers.launch import MLP, NOT_THE_TRAINING, Heard, after, records, sessions, train

from normbench.errors import NormbenchError

PROBES = """
probes:
  - activations
  - {name: gradients, every: 25}
  - {name: gradient_noise, steps: [0, 100], batches: 3}
"""


def layers(folder):
    with (folder / "tiny" / "layers.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    train(folder)
    return folder


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probed")
    train(folder, MLP + PROBES)
    return folder


def test_the_records_are_those_of_a_training_without_probes(plain, probed):
    assert records(probed) == records(plain)
    assert not (plain / "tiny" / "layers.csv").exists()
    rows = layers(probed)
    finished = {row["run_id"] for row in records(probed)[1] if row["status"] == "finished"}
    steps = {
        (row["quantity"].partition(".")[0], int(row["step"])) for row in rows if row["run_id"] in finished
    }
    assert {step for name, step in steps if name == "activations"} == {0, 60, 120, 180, 230}  # as evaluated
    assert {step for name, step in steps if name == "gradients"} == set(range(0, 230, 25))
    assert {step for name, step in steps if name == "gradient_noise"} == {0, 100}
    keys = [(row["run_id"], row["step"], row["layer"], row["quantity"]) for row in rows]
    assert len(set(keys)) == len(keys)
    diverged = {row["run_id"] for row in records(probed)[1] if row["status"] == "diverged"}
    assert diverged <= {row["run_id"] for row in rows}  # as far as they came
    assert not any(row["value"] == "nan" for row in rows if row["run_id"] in finished)


def test_a_sweep_that_is_stopped_again_and_again_measures_the_same(tmp_path, probed):
    stopped = 0
    while train(tmp_path, MLP + PROBES, should_stop=after(4)).interrupted:
        stopped += 1
    assert stopped >= 2
    assert records(tmp_path) == records(probed)
    assert layers(tmp_path) == layers(probed)


@pytest.mark.thorough
def test_workers_measure_the_same(tmp_path, probed):
    train(tmp_path, MLP + PROBES, launcher="processes", workers=2)
    assert records(tmp_path) == records(probed)
    assert layers(tmp_path) == layers(probed)


def test_a_probe_added_to_finished_runs_is_replayed_and_then_there(tmp_path, plain, probed):
    train(tmp_path)
    heard = Heard()
    finished = train(tmp_path, MLP + PROBES, reporter=heard)
    runs = len(records(plain)[1])
    assert (finished.trained, finished.replayed, finished.skipped) == (0, runs, runs)
    assert any("trained again for layers.csv alone" in text for text in heard.messages)
    assert records(tmp_path) == records(plain)
    assert layers(tmp_path) == layers(probed)
    assert not (tmp_path / "tiny" / "parts").exists()
    assert not (tmp_path / "tiny" / "checkpoints").exists()
    again = train(tmp_path, MLP + PROBES)
    assert (again.trained, again.replayed) == (0, 0)
    assert len(sessions(tmp_path)) == 2


def test_a_second_probe_is_added_to_the_rows_of_the_first(tmp_path, probed):
    train(tmp_path, MLP + "probes: [activations]\n")
    before = (tmp_path / "tiny" / "runs.csv").read_bytes()
    assert train(tmp_path, MLP + PROBES).replayed
    assert layers(tmp_path) == layers(probed)
    assert (tmp_path / "tiny" / "runs.csv").read_bytes() == before  # times and all
    assert not train(tmp_path, MLP + "probes: [activations]\n").replayed
    assert layers(tmp_path) == layers(probed)  # a probe taken out leaves its rows


def test_a_replay_that_is_stopped_begins_anew_and_ends_the_same(tmp_path, probed):
    train(tmp_path)
    stopped = 0
    while train(tmp_path, MLP + PROBES, should_stop=after(8 + 8 * stopped)).interrupted:
        stopped += 1
    assert stopped
    assert records(tmp_path) == records(probed)
    assert layers(tmp_path) == layers(probed)


def test_other_metrics_are_an_error_and_change_nothing(tmp_path, plain):
    train(tmp_path)
    path = tmp_path / "tiny" / "metrics.csv"
    lines = path.read_text().splitlines(keepends=True)
    cells = lines[2].split(",")
    assert cells[1] == "60"
    cells[4] = "9.5"  # a training loss of another machine
    path.write_text("".join([*lines[:2], ",".join(cells), *lines[3:]]))
    before = path.read_bytes()
    with pytest.raises(NormbenchError, match=rf"{cells[0]}: at step 60 train_loss was 9\.5, now 1"):
        train(tmp_path, MLP + PROBES)
    assert path.read_bytes() == before
    assert cells[0] not in {row["run_id"] for row in layers(tmp_path)}
    assert len({row["run_id"] for row in layers(tmp_path)}) == len(records(plain)[1]) - 1
    with pytest.raises(NormbenchError, match="1 of 1 runs"):
        train(tmp_path, MLP + PROBES)


def test_other_options_of_a_probe_are_refused(tmp_path):
    train(tmp_path, MLP + "probes: [{name: gradient_noise, batches: 3, steps: [0]}]\n")
    with pytest.raises(NormbenchError, match=r"was measured with other options.*remove this file"):
        train(tmp_path, MLP + "probes: [{name: gradient_noise, batches: 4, steps: [0]}]\n")
    # another schedule needs no other numbers
    assert train(tmp_path, MLP + "probes: [{name: gradient_noise, batches: 3, steps: [0, 50]}]\n").replayed
    (tmp_path / "tiny" / "layers.csv").unlink()
    assert train(tmp_path, MLP + "probes: [{name: gradient_noise, batches: 4, steps: [0]}]\n").replayed


def test_the_executor_of_the_records_makes_the_replay(tmp_path):
    train(tmp_path, executor="looped")
    assert train(tmp_path, MLP + PROBES).replayed
    assert {row["executor"] for row in records(tmp_path, NOT_THE_TRAINING)[1]} == {"looped"}
