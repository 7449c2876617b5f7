"""A stack resumed from a checkpoint ends as if never stopped; an unusable checkpoint is reported."""

import errno
import os
import re

import pytest
import torch
from helpers.launch import CNN, MLP, SPLIT, Heard, after, records, sessions, train

from normbench._version import __version__
from normbench.engine import loop
from normbench.engine.checkpoint import SAME_BITS, UnfitError, dump_state, load_state, seal
from normbench.engine.state import StackState
from normbench.errors import RecordsError
from normbench.launch.checkpoints import Schedule

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The records of the sweep, trained without an interruption."""
    folder = tmp_path_factory.mktemp("whole")
    train(folder)
    return folder


@pytest.mark.parametrize(
    ("config", "executor"),
    [(MLP, "vectorized"), pytest.param(MLP, "looped", marks=pytest.mark.thorough), (CNN, "looped")],
)
def test_a_sweep_stopped_again_and_again_gives_the_same_records_and_makes_no_step_twice(
    tmp_path, config, executor
):
    train(tmp_path / "whole", config, executor=executor)
    stopped = 0
    while train(tmp_path / "stopped", config, executor=executor, should_stop=after(3)).interrupted:
        stopped += 1
    assert stopped >= 2
    assert records(tmp_path / "stopped") == records(tmp_path / "whole")
    (once,) = sessions(tmp_path / "whole")
    assert sum(one["run_steps"] for one in sessions(tmp_path / "stopped")) == once["run_steps"] > 0
    assert sum(bool(one["resumed"]) for one in sessions(tmp_path / "stopped")) >= 2
    assert not (tmp_path / "stopped" / "tiny" / "checkpoints").exists()
    assert not (tmp_path / "stopped" / "tiny" / "parts").exists()


@pytest.mark.parametrize("harm", ["truncated", "flipped", "empty", "pickle", "no rows", "not stopped there"])
def test_a_checkpoint_that_cannot_be_used_is_reported_and_the_stack_starts_again(tmp_path, whole, harm):
    folder = tmp_path / "stopped"
    assert train(folder, should_stop=after(6)).interrupted
    (path,) = (folder / "tiny" / "checkpoints").iterdir()
    data = bytearray(path.read_bytes())
    if harm == "truncated":
        del data[-100:]
    elif harm == "flipped":
        data[len(data) // 2] ^= 1
    elif harm == "empty":
        data.clear()
    elif harm == "pickle":
        data[:] = b"\x80\x04cos\nsystem\n(S'exit 1'\ntR."
    elif harm == "no rows":
        os.truncate(folder / "tiny" / "parts" / f"{path.stem}.metrics.csv", 50)
    path.write_bytes(data)
    heard = Heard()
    assert not train(folder, reporter=heard).interrupted
    assert records(folder) == records(whole)
    again = [text for text in heard.messages if "starts again" in text]
    on = [text for text in heard.messages if "continues at step" in text]
    assert (len(again), len(on)) == ((0, 1) if harm == "not stopped there" else (1, 0)), heard.messages


def state_of(runs=3):
    tensors = {"w": torch.arange(4.0 * runs).view(runs, 4)}
    sums = [torch.zeros(runs, dtype=torch.float64) for _ in range(3)]
    return StackState(
        7, list(range(runs)), tensors, {}, {"mean": dict(tensors)}, *sums[:2], 5, sums[2], [0.5] * runs
    )


def test_a_state_comes_back_as_it_was_and_only_for_its_own_stack():
    state = state_of()
    data = seal(dump_state(state, ["a", "b", "c"], "looped"), {"metrics": 70})
    state.lengths = {"metrics": 70}
    again = load_state(data, ["a", "b", "c"], "looped", CPU)
    assert repr(vars(again)) == repr(vars(state))
    for runs, executor, what in (
        (["a", "c", "b"], "looped", "other runs"),
        (["a", "b"], "looped", "belong together"),
        (["a", "b", "c"], "vectorized", r"executor \(looped, now vectorized\)"),
    ):
        with pytest.raises(UnfitError, match=what):
            load_state(data, runs, executor, CPU)


@pytest.mark.parametrize("harm", ["a run too many", "idle lanes", "no second lane", "a sum", "a weight"])
def test_a_checkpoint_whose_lanes_do_not_fit_is_refused(harm):
    state, ids = state_of(), ["a", "b", "c"]
    if harm == "a run too many":
        ids, state.lanes, state.seconds = [*ids, "d"], [0, 1, 2, 3], [0.5] * 4
    elif harm == "idle lanes":
        state.lanes = [0, 2]
    elif harm == "no second lane":  # beside a single run
        state, ids = state_of(1), ["a"]
    elif harm == "a sum":
        state.tail_loss = state.tail_loss[:-1]
    else:
        state.params["w"] = state.params["w"][:-1]
    with pytest.raises(UnfitError, match="do not belong together"):
        load_state(seal(dump_state(state, ids, "looped"), {}), ids, "looped", CPU)


def test_a_checkpoint_is_continued_by_all_versions_that_train_with_the_same_bits(monkeypatch):
    def made_by(version):
        monkeypatch.setattr("normbench.engine.checkpoint.__version__", version)
        data = seal(dump_state(state_of(), ["a", "b", "c"], "looped"), {"metrics": 70})
        monkeypatch.undo()
        return load_state(data, ["a", "b", "c"], "looped", CPU)

    assert {"0.1.0", __version__} <= set(SAME_BITS), (
        "say in SAME_BITS whose checkpoints this version continues"
    )
    for version in SAME_BITS:
        assert repr(made_by(version).params) == repr(state_of().params)
    with pytest.raises(UnfitError, match=rf"version of normbench \(0\.0\.9, now {re.escape(__version__)}\)"):
        made_by("0.0.9")


def test_a_part_of_a_state_is_the_state_of_its_runs():
    part = state_of().of([2])
    assert part.params["w"].tolist() == [[8.0, 9.0, 10.0, 11.0]] * 2  # a stack of one has an idle lane
    assert (part.lanes, part.seconds, part.step) == ([0], [0.5], 7)


@pytest.mark.parametrize(
    ("every", "cost", "expected"), [(None, 0.1, 60), (None, 3, 150), (2.0, 3, 2), (0, 1, 0)]
)
def test_checkpoints_come_by_time_and_by_default_cost_less_than_two_percent(every, cost, expected):
    now = [1000.0]
    schedule = Schedule(every, clock=lambda: now[0])
    with schedule.saving():
        now[0] += cost
    for passed, due in ((0.99 * expected - 0.01, False), (1.01 * expected, True)):
        now[0] = 1000.0 + cost + passed
        assert schedule.due() == due


def failing(lr, at):
    """Return a step that raises from update `at` on while the run with this learning rate is in the stack."""
    step = loop.StackTrainer._hypers

    def hypers(self, number):
        found = step(self, number)
        if number >= at and any(abs(float(one) - lr) < 1e-9 for one in self._hyper["lr"]):
            raise RuntimeError("a layer that cannot do this")
        return found

    return hypers


def test_a_run_that_crashes_is_isolated_from_the_last_checkpoint_and_the_others_go_on(
    tmp_path, whole, monkeypatch
):
    monkeypatch.setattr(loop.StackTrainer, "_hypers", failing(0.03, 150))
    heard = Heard()
    done = train(tmp_path, checkpoint_every=0, reporter=heard)
    monkeypatch.undo()
    assert (done.trained, done.crashed) == (8, 4)
    crashed = {row["run_id"] for row in records(tmp_path)[1] if row["status"] == "crashed"}
    assert len(crashed) == 4
    for run in crashed:
        assert "a layer that cannot do this" in (tmp_path / "tiny" / "crashes" / f"{run}.txt").read_text()
    others = [row for row in records(whole, SPLIT)[1] if row["run_id"] not in crashed]
    assert [row for row in records(tmp_path, SPLIT)[1] if row["run_id"] not in crashed] == others
    (session,) = sessions(tmp_path)
    (once,) = sessions(whole)
    assert session["run_steps"] <= once["run_steps"]  # restarts at step 0 would make it twice as large
    assert any("continues at step 145" in text for text in heard.messages), heard.messages
    assert not (tmp_path / "tiny" / "checkpoints").exists()

    again = train(tmp_path)
    assert (again.trained, again.crashed) == (0, 4)  # crashed runs are not retried unless asked for
    again = train(tmp_path, retry=("crashed",))
    assert (again.trained, again.crashed) == (4, 0)
    assert records(tmp_path, SPLIT) == records(whole, SPLIT)
    assert not any((tmp_path / "tiny").glob("crashes/*"))


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("room", [3, 12, 20])
def test_a_full_disk_loses_nothing_and_the_sweep_goes_on_when_there_is_room(
    tmp_path, whole, monkeypatch, call, room
):
    real, left = getattr(os, call), [room]

    def full(*arguments):
        left[0] -= 1
        if left[0] < 0:
            if call == "write":  # a part of the data still fits
                real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(os, call, full)
    with pytest.raises(RecordsError, match="make room and run the same command again"):
        train(tmp_path, checkpoint_every=0)
    monkeypatch.undo()
    assert not train(tmp_path).interrupted
    assert records(tmp_path) == records(whole)


def test_a_stack_that_does_not_fit_into_memory_is_divided_until_it_does(tmp_path, whole, monkeypatch):
    hypers = loop.StackTrainer._hypers

    def small(self, step):
        if len(self.state.lanes) > 2 and step >= 100:
            raise torch.OutOfMemoryError("no memory is left")
        return hypers(self, step)

    monkeypatch.setattr(loop.StackTrainer, "_hypers", small)
    heard = Heard()
    done = train(tmp_path, checkpoint_every=0, reporter=heard)
    assert (done.trained, done.crashed) == (12, 0)
    assert records(tmp_path, SPLIT) == records(whole, SPLIT)
    assert any("in halves" in text for text in heard.messages)
    assert set(sessions(tmp_path)[0]["resumed"].values()) == {85}  # the last checkpoint before
