"""The messages that tell of the training of one stack, and the one recorder that takes them."""

from __future__ import annotations

import pickle
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler

import pytest
import torch
from helpers.launch import MLP, after, records, train

from normbench.config import parse_config
from normbench.engine.checkpoint import dump_state, load_state, seal
from normbench.engine.events import Evaluation, RunEnd
from normbench.engine.loop import StackTrainer
from normbench.errors import NormbenchError
from normbench.launch.local import Local
from normbench.launch.messages import Assignment, Checkpoint, Done, Failed, Progress, Stopped, Unfit
from normbench.launch.train_stack import train_stack
from normbench.planning.plan import make_plan

STEPS, RUNS, DIVERGING = 230, 6, 2  # of a stack of MLP


def assignment(place=0, checkpoint=None, every=None):
    plan = make_plan(parse_config(MLP), device="cpu")
    return Assignment(plan.stacks[place], checkpoint, None, "cpu", (), every)


def told(messages):
    return [event for message in messages if isinstance(message, Progress) for event in message.events]


def timeless(events):
    return [replace(event, train_seconds=0.0) if isinstance(event, RunEnd) else event for event in events]


def never():
    return False


def test_progress_counts_each_step_once_and_the_end_comes_last():
    messages = list(train_stack(assignment(), never))
    assert messages[-1] == Done()
    steps = [message for message in messages[:-1] if isinstance(message, Progress)]
    assert len(steps) == len(messages) - 1  # too short for a checkpoint
    assert sum(message.settled for message in steps) == RUNS * STEPS
    ends = [event for event in told(messages) if isinstance(event, RunEnd)]
    assert sorted(end.status for end in ends) == ["diverged"] * DIVERGING + ["finished"] * (RUNS - DIVERGING)
    gone = STEPS - 25  # a diverged run leaves after its first chunk
    assert sum(message.made for message in steps) == RUNS * STEPS - DIVERGING * gone
    assert steps[0].events[:RUNS] == tuple(
        event for event in told(messages) if isinstance(event, Evaluation) and event.step == 0
    )


def test_messages_and_assignments_come_through_a_pipe_as_they_are():
    given = assignment(every=0)
    messages = list(train_stack(pickle.loads(pickle.dumps(given)), after(3)))
    assert [type(message) for message in messages[-2:]] == [Checkpoint, Stopped]
    for message in messages:
        assert repr(pickle.loads(pickle.dumps(message))) == repr(message)  # some losses are NaN


@pytest.mark.parametrize("place", [0, 1])
def test_a_stack_that_stops_after_each_chunk_tells_the_same(place):
    whole = told(train_stack(assignment(place), never))
    pieces, checkpoint = [], None
    for _ in range(100):
        messages = list(train_stack(assignment(place, checkpoint), lambda: True))
        pieces += told(messages)
        if messages[-1] == Done():
            break
        state, end = messages[-2:]
        assert end == Stopped()
        checkpoint = seal(state.state, {})
    assert repr(timeless(pieces)) == repr(timeless(whole))


def test_a_checkpoint_of_another_net_ends_unfit():
    given = assignment()
    *_, state, _ = train_stack(given, lambda: True)
    ids = [run.run_id for run in given.stack.runs]
    other = load_state(seal(state.state, {}), ids, given.stack.executor, torch.device("cpu"))
    other.params["more"] = next(iter(other.params.values()))
    harmed = seal(dump_state(other, ids, given.stack.executor), {})
    for checkpoint, reason in ((harmed, "its net has other parts"), (b"nonsense", "it is damaged")):
        (end,) = train_stack(replace(given, checkpoint=checkpoint), never)
        assert isinstance(end, Unfit)
        assert reason in end.reason


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, NormbenchError, KeyboardInterrupt])
def test_an_exception_ends_as_failed_unless_no_stack_can_be_trained(error, monkeypatch):
    def raising(self, step):
        raise error("made to fail")

    monkeypatch.setattr(StackTrainer, "_hypers", raising)
    if not issubclass(error, Exception) or issubclass(error, NormbenchError):
        with pytest.raises(error, match="made to fail"):
            list(train_stack(assignment(), never))
    else:
        *_, end = train_stack(assignment(), never)
        assert isinstance(end, Failed)
        assert f"{error.__name__}: made to fail" in end.traceback


def test_a_launcher_needs_no_more_than_these_messages(tmp_path, monkeypatch):
    def train_elsewhere(self, recorder, stacks, should_stop):
        """Assignments and messages cross as bytes, and those of all stacks arrive mixed."""
        spools = []
        for stack in stacks:
            sent = pickle.dumps(recorder.begin(stack))
            spools.append((stack, [pickle.dumps(one) for one in train_stack(pickle.loads(sent), never)]))
        while any(spool for _, spool in spools):
            for stack, spool in spools:
                if spool:
                    assert recorder.handle(stack, pickle.loads(spool.pop(0))) == ()

    train(tmp_path / "here")
    monkeypatch.setattr(Local, "train", train_elsewhere)
    done = train(tmp_path / "elsewhere")
    assert (done.trained, done.crashed, done.interrupted) == (2 * RUNS, 0, False)
    assert records(tmp_path / "elsewhere") == records(tmp_path / "here")


def test_nothing_between_processes_needs_shared_memory():
    """torch sends tensors through /dev/shm, which containers keep small; messages hold none."""
    given = assignment()
    told = [given, *train_stack(given, never)]
    assert len(told) > 3
    for one in told:
        assert b"torch.multiprocessing" not in bytes(ForkingPickler.dumps(one))
    assert b"torch.multiprocessing" in bytes(ForkingPickler.dumps(torch.zeros(2)))
