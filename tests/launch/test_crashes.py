"""Runs that raise: crashed for good, said once, and never in the way of the others."""

from __future__ import annotations

import pytest
from helpers.cli import call
from helpers.launch import SPLIT, Heard, after, records, train

from normbench.analysis.tables import load_tables
from normbench.engine.executor import Executor
from normbench.engine.loop import StackTrainer
from normbench.launch.faults import Fault, Faults
from normbench.records import folder_status

CONFIG = """
name: tiny
seeds: 2
data: {name: digits, train_size: 200, test_size: 40, batch_size: 20}
model: {name: mlp, depth: 1, width: 8}
train: {steps: 60, eval_every: 20}
sweep: {optimizer.lr: [0.01, 0.1, 0.5, 1]}
"""
EDGE = CONFIG.replace("[0.01, 0.1, 0.5, 1]", "{edge: {from: 0.01, to: 10, precision: 1.5}}")
BAD = (0.5, 1.0)  # rates whose runs raise


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(folder, CONFIG)
    return folder


def fail(monkeypatch, bad=lambda run: True, at=30, error="a layer that cannot do this"):
    """Let the steps from `at` on raise while a bad run is in the stack."""
    step = StackTrainer._train_step

    def raising(self):
        if self.state.step >= at and any(bad(self.runs[run]) for run in self.state.lanes):
            raise RuntimeError(error)
        return step(self)

    monkeypatch.setattr(StackTrainer, "_train_step", raising)


def of_bad_rates(run):
    return run.settings.optimizer.lr in BAD


def statuses(folder):
    found = folder_status(folder / "tiny").statuses
    return {word: count for word, count in found.items() if count}


def test_crashed_runs_stay_crashed_and_the_others_keep_their_bits(tmp_path, whole, monkeypatch):
    fail(monkeypatch, of_bad_rates)
    done = train(tmp_path, CONFIG)
    assert (done.trained, done.crashed) == (4, 4)
    assert statuses(tmp_path) == {"finished": 4, "crashed": 4}
    assert not (tmp_path / "tiny" / "parts").exists()
    crashed = [row for row in records(tmp_path)[1] if float(row["optimizer.lr"]) in BAD]
    assert {(row["status"], row["outcome"]) for row in crashed} == {("crashed", "crashed")}
    before = records(tmp_path)
    again = train(tmp_path, CONFIG)
    assert (again.trained, again.skipped, again.crashed) == (0, 8, 4)
    assert records(tmp_path) == before
    monkeypatch.undo()
    assert train(tmp_path, CONFIG, retry=("crashed",)).trained == 4
    assert records(tmp_path, SPLIT) == records(whole, SPLIT)


@pytest.mark.parametrize("chunks", range(2, 13, 2))
@pytest.mark.parametrize("every", [None, 0])
def test_ctrl_c_among_crashes_makes_no_crashed_run_interrupted(tmp_path, whole, monkeypatch, chunks, every):
    fail(monkeypatch, of_bad_rates)
    first = train(tmp_path, CONFIG, should_stop=after(chunks), checkpoint_every=every)
    found = statuses(tmp_path)
    assert found.get("crashed", 0) == first.crashed
    sessions = 1
    while train(tmp_path, CONFIG, should_stop=after(chunks), checkpoint_every=every).interrupted:
        assert statuses(tmp_path).get("crashed", 0) >= found.get("crashed", 0)
        found, sessions = statuses(tmp_path), sessions + 1
        assert sessions < 20
    assert statuses(tmp_path) == {"finished": 4, "crashed": 4}
    good = [row for row in records(whole, SPLIT)[1] if float(row["optimizer.lr"]) not in BAD]
    assert [row for row in records(tmp_path, SPLIT)[1] if row["status"] == "finished"] == good


@pytest.mark.parametrize("at", [1, 30])
def test_a_search_for_the_edge_over_a_layer_that_always_raises_ends(tmp_path, monkeypatch, at):
    fail(monkeypatch, at=at)
    heard = Heard()
    done = train(tmp_path, EDGE, reporter=heard)
    rounds = [text for text in heard.messages if "round" in text]
    assert len(rounds) == 1  # no rate trains, so there is nothing to refine
    assert statuses(tmp_path) == {"crashed": done.crashed}
    assert done.crashed == 2 * 7
    assert (train(tmp_path, EDGE).trained, done.trained) == (0, 0)


def test_a_search_for_the_edge_takes_a_crash_for_the_end_of_the_rates_that_train(tmp_path, monkeypatch):
    train(tmp_path / "free", EDGE)
    free = load_tables(tmp_path / "free" / "tiny").runs
    limit = float(free.loc[free["outcome"] == "trains", "optimizer.lr"].median())
    fail(monkeypatch, lambda run: run.settings.optimizer.lr > limit)
    done = train(tmp_path, EDGE)
    runs = load_tables(tmp_path / "tiny").runs
    assert done.crashed == (runs["outcome"] == "crashed").sum() > 0
    for _, own in runs.groupby("seed"):
        tops = own.loc[own["outcome"] == "trains", "optimizer.lr"]
        if len(tops) and (own["optimizer.lr"] > limit).any():
            lost = own.loc[own["optimizer.lr"] > tops.max(), "optimizer.lr"].min()
            assert tops.max() <= limit
            assert lost / tops.max() < 1.5


def test_a_session_that_would_train_the_same_runs_again_and_again_is_refused(tmp_path, monkeypatch):
    from normbench.errors import NormbenchError
    from normbench.records import ResultsFolder

    monkeypatch.setattr(ResultsFolder, "ends", lambda self, plan=None: {})
    with pytest.raises(NormbenchError, match="the search would never end"):
        train(tmp_path, EDGE)


def test_one_fault_of_all_runs_is_one_sentence_and_one_traceback(tmp_path, monkeypatch):
    fail(monkeypatch, at=0)
    heard = Heard()
    done = train(tmp_path, CONFIG, reporter=heard)
    assert done.crashed == 8
    (text,) = heard.messages
    assert text.startswith(
        "8 runs crashed: RuntimeError: a layer that cannot do this; the traceback is in crashes/"
    )
    assert "--executor looped" in text
    files = sorted((tmp_path / "tiny" / "crashes").iterdir(), key=lambda path: path.stat().st_size)
    assert len(files) == 8
    assert files[-1].name in text
    assert files[-1].read_text(encoding="utf-8").startswith("Traceback")
    for path in files[:-1]:
        short = path.read_text(encoding="utf-8").splitlines()
        assert short[0] == "RuntimeError: a layer that cannot do this"
        assert files[-1].name in short[1]
        assert len(short) == 2


def test_steps_that_are_made_again_are_said_once(tmp_path, monkeypatch):
    fail(monkeypatch, of_bad_rates)
    heard = Heard()
    train(tmp_path, CONFIG, reporter=heard, executor="looped")
    halved, crashed = heard.messages
    assert "in halves until the runs at fault are alone" in halved
    assert crashed.startswith("4 runs crashed")
    assert "looped" not in crashed


def test_the_line_of_a_plugin_is_named_and_lack_of_memory_has_its_own_advice(tmp_path):
    faults = Faults()
    first = faults.crash("a", Fault("mine.py:12: ValueError: no"), "trace 1", True)
    assert faults.crash("b", Fault("mine.py:12: ValueError: no"), "trace 2", True) == "trace 2"
    assert first == "trace 1"
    faults.crash("c", Fault.of(MemoryError()), "trace 3", True)
    one, other = faults.sentences()
    assert one.startswith("2 runs crashed: mine.py:12: ValueError: no; the traceback is in crashes/a.txt")
    assert "--executor looped" in one
    assert "memory" in other
    assert "looped" not in other
    for number in range(5):
        faults.crash("d", Fault(f"error {number}"), "trace", False)
    assert list(faults.sentences())[-1] == "4 more kinds of crashes: see the files in crashes/"


def test_runs_that_diverge_by_raising_are_results_and_are_said(tmp_path, whole, monkeypatch):
    step = Executor.step

    def raising(self, state, batch, hyper):
        if state.step == 30 and (hyper["lr"] > 0.7).any():
            for tensor in state.params.values():
                tensor[hyper["lr"] > 0.7] = float("inf")
            raise RuntimeError("cannot be factorized")
        return step(self, state, batch, hyper)

    monkeypatch.setattr(Executor, "step", raising)
    heard = Heard()
    done = train(tmp_path, CONFIG, reporter=heard)
    assert (done.trained, done.crashed) == (8, 0)
    rows = records(tmp_path, SPLIT)[1]
    lost = [row for row in rows if float(row["optimizer.lr"]) == 1.0]
    assert {(row["status"], row["outcome"], row["diverged_at_step"]) for row in lost} == {
        ("diverged", "diverged", "31")
    }
    others = [row for row in records(whole, SPLIT)[1] if float(row["optimizer.lr"]) != 1.0]
    assert [row for row in rows if float(row["optimizer.lr"]) != 1.0] == others
    assert "2 runs diverged" in heard.messages[-1]
    assert "cannot be factorized" in heard.messages[-1]
    assert not (tmp_path / "tiny" / "crashes").exists()
    assert train(tmp_path, CONFIG, retry=("crashed",)).trained == 0


def test_fail_fast_ends_at_the_first_crash_and_keeps_everything(tmp_path, whole, monkeypatch):
    fail(monkeypatch, of_bad_rates)
    done = train(tmp_path, CONFIG, fail_fast=True)
    assert (done.failed_fast, done.interrupted, done.crashed) == (True, False, 1)
    assert statuses(tmp_path)["crashed"] == 1
    done = train(tmp_path, CONFIG)
    assert not done.failed_fast
    assert statuses(tmp_path) == {"finished": 4, "crashed": 4}
    assert train(tmp_path, CONFIG, fail_fast=True).failed_fast is False  # old crashes do not count


def test_fail_fast_on_the_command_line(tmp_path, monkeypatch):
    fail(monkeypatch, of_bad_rates)
    path = tmp_path / "tiny.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    result = call("run", path, "--results", tmp_path, "--fail-fast", "--threads", 1, "--device", "cpu")
    assert result.exit_code == 1, result.stderr or result.exception
    assert "ended at the first crash (--fail-fast)" in result.stderr
    assert "1 run crashed: RuntimeError" in result.stderr


def test_a_variant_that_is_lost_on_its_first_batch_is_named_at_the_end(tmp_path, monkeypatch):
    step = Executor.step

    def lost(self, state, batch, hyper):
        loss, correct = step(self, state, batch, hyper)
        return loss * float("nan"), correct

    monkeypatch.setattr(Executor, "step", lost)
    path = tmp_path / "tiny.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    result = call("run", path, "--results", tmp_path, "--threads", 1, "--device", "cpu")
    assert result.exit_code == 0, result.stderr or result.exception
    text = " ".join(result.stderr.split())
    assert "norm none: the loss is not finite on the first batch, before any update, in all 8 runs" in text
