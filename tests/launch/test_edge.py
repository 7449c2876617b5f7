"""Sweeps that search for the edge of the learning rates, trained on the embedded digits."""

from __future__ import annotations

import json

import pytest
from helpers.launch import SPLIT, Heard, after, records, sessions, train
from matplotlib.text import Text
from typer.testing import CliRunner

from normbench import api
from normbench.analysis.summary import summary_rows
from normbench.analysis.tables import load_tables
from normbench.analysis.variants import edges
from normbench.cli import app
from normbench.engine.loop import StackTrainer
from normbench.errors import RecordsError
from normbench.plots import draw
from normbench.records import folder_status

EDGE = """
name: tiny
seeds: 2
data: {name: digits, train_size: 200, test_size: 40, batch_size: 20}
model: {name: mlp, depth: 1, width: 12}
train: {steps: 40, eval_every: 20}
sweep:
  zip: [{model.norm: [none, batchnorm], model.activation: [relu, sigmoid]}]
  optimizer.lr: {edge: {from: 0.01, to: 100, precision: 1.2}}
  include: [{model.norm: selu, optimizer.lr: [0.05, 0.1]}]
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    heard = Heard()
    return folder, train(folder, EDGE, reporter=heard), heard


def rates(folder):
    """Return the learning rates that each variant and seed trained, in the order of the file."""
    found = {}
    for row in records(folder)[1]:
        found.setdefault((row["model.norm"], row["seed"]), []).append(float(row["optimizer.lr"]))
    return found


def test_it_trains_the_scan_and_what_refines_the_edge_alone(whole):
    folder, done, heard = whole
    assert len(done.plan.runs) == 2 * 2 * 65 + 4
    assert done.trained == len(records(folder)[1]) <= done.plan.most_runs() == 4 * (9 + 4) + 4
    assert done.crashed == done.skipped == 0
    rounds = [text.partition(":")[0] for text in heard.messages if text.startswith("search for the edge")]
    assert [text[-7:] for text in rounds] == ["round 1", "round 2", "round 3"]
    for (norm, _), own in rates(folder).items():
        assert own == sorted(own)
        assert norm == "selu" or {0.01, 1.0, 10.0, 100.0} <= set(own)
    assert rates(folder)["selu", "0"] == [0.05, 0.1]
    tables = load_tables(folder / "tiny")
    assert tables.runs["refining"].sum() == done.trained - 4 * 9 - 4
    found = edges(tables.runs, ("model.norm",))
    assert sum(edge is not None for seeds in found.values() for edge in seeds.values()) >= 4
    for code in (0, 1):
        for edge in found[code].values():
            assert edge.next / edge.top < 1.2


def test_trained_again_there_is_nothing_to_do(whole):
    folder, done, _ = whole
    before = (folder / "tiny" / "runs.csv").read_bytes()
    again = train(folder, EDGE)
    assert (again.trained, again.skipped) == (0, done.trained)
    assert (folder / "tiny" / "runs.csv").read_bytes() == before
    assert len(sessions(folder)) == 1


@pytest.mark.parametrize("every", [2, 5])
def test_stopped_again_and_again_it_ends_with_the_same_records(tmp_path, whole, every):
    for _ in range(100):
        done = train(tmp_path, EDGE, should_stop=after(every), checkpoint_every=0)
        if not done.interrupted:
            break
        counts = folder_status(tmp_path / "tiny")
        assert counts.statuses["pending"] + counts.statuses["interrupted"] > 0  # not shown as done
    assert len(sessions(tmp_path)) > 2
    assert records(tmp_path, SPLIT) == records(whole[0], SPLIT)


@pytest.mark.thorough
def test_in_processes_it_finds_the_same(tmp_path, whole):
    done = train_in_processes(tmp_path)
    assert done.trained == whole[1].trained
    assert records(tmp_path, SPLIT) == records(whole[0], SPLIT)


def train_in_processes(folder):
    path = folder / "tiny.yaml"
    path.write_text(EDGE, encoding="utf-8")
    return api.run(path, results=folder, device="cpu", threads=1, launcher="processes", workers=1)


def test_seeds_a_finer_precision_and_a_variant_added_later_train_only_what_is_new(tmp_path, whole):
    one = EDGE.replace("seeds: 2", "seeds: 1").replace("precision: 1.2", "precision: 1.4")
    first = train(tmp_path, one.replace("[none, batchnorm]", "[none, layernorm]"), keep_old=True)
    assert first.trained > 0
    with pytest.raises(RecordsError, match="layernorm"):
        train(tmp_path, one)
    second = train(tmp_path, one, keep_old=True)
    assert second.skipped == 2 + sum(row["model.norm"] == "none" for row in records(tmp_path)[1])
    third = train(tmp_path, EDGE)
    assert third.skipped == second.trained + second.skipped
    assert rates(tmp_path) == rates(whole[0])
    assert records(tmp_path, SPLIT) == records(whole[0], SPLIT)


def test_a_crashed_run_is_passed_over_and_found_again_when_it_is_tried_again(tmp_path, whole, monkeypatch):
    events = StackTrainer.events

    def crash(self, rest):
        if any(run.values["optimizer.lr"] == 1.0 and run.values["model.norm"] == "none" for run in self.runs):
            raise RuntimeError("made to crash")
        yield from events(self, rest)

    monkeypatch.setattr(StackTrainer, "events", crash)
    done = train(tmp_path, EDGE)
    assert done.crashed == 2
    monkeypatch.undo()
    assert train(tmp_path, EDGE).trained == 0
    again = train(tmp_path, EDGE, retry={"crashed"})
    assert again.crashed == 0
    ids = {row["run_id"] for row in records(tmp_path)[1]}
    assert {row["run_id"] for row in records(whole[0])[1]} <= ids


def test_a_plan_says_how_many_runs_it_may_make(tmp_path, whole):
    notes = whole[1].plan.notes
    assert any("searched among 65 rates from 0.01 to 100" in note for note in notes)
    assert any("9 are scanned, then at most 4 refine" in note for note in notes)
    json.dumps(notes)


def test_what_compares_rates_over_seeds_takes_the_scan_alone_and_figures_say_so(whole):
    folder = whole[0] / "tiny"
    tables = load_tables(folder)
    scan = set(tables.runs.loc[~tables.runs["refining"], "optimizer.lr"])
    for row in summary_rows(tables):
        assert row["best"]["rate"] in scan
        assert row["trains"]["n"] == (4 if row["model.norm"] == "selu" else 18)
    texts = {
        stem: " ".join(" ".join(text.get_text() for text in figure.findobj(Text)).split())
        for stem, figure in draw(tables)
    }
    assert set(texts) >= {"rate", "largest_rate", "heatmap", "convergence", "steps_to_target"}
    left_out = "that refine the edge of single seeds"
    assert left_out in texts["rate"]
    assert left_out not in texts["largest_rate"]
    assert "a search between its largest that trains and the next" in texts["largest_rate"]


def test_the_commands_tell_of_the_search(whole):
    config = str(whole[0] / "tiny.yaml")
    text = CliRunner().invoke(app, ["plan", config]).stdout
    assert "at most 56 runs of 132 cells" in text
    (answer,) = json.loads(CliRunner().invoke(app, ["plan", config, "--json"]).stdout)
    assert answer["runs"] == 56
    assert sum(not cell["refining"] for cell in answer["cells"]) == 9 * 2 + 2
    (status,) = json.loads(CliRunner().invoke(app, ["status", str(whole[0] / "tiny"), "--json"]).stdout)
    assert status["runs"] == whole[1].trained
    assert status["statuses"]["pending"] == 0
