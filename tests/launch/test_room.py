"""Threads are fitted to the cores that others leave free, where that changes no bit."""

from __future__ import annotations

import pytest
import torch
from helpers.engine import Trained, runs_of
from helpers.launch import train

from normbench.launch import room as rooms
from normbench.launch.room import FIRST, SECONDS, Room, Times

TINY = """
name: tiny
seeds: 1
data: {name: digits, train_size: 60}
model: {name: mlp, depth: 1, width: 8}
train: {steps: 4, eval_every: 2}
"""
MODELS = [
    {"norm": "batchnorm"},
    {"norm": "whitening_newton"},
    {"name": "lstm", "width": 16},
    {"name": "highway", "width": 16},
]


@pytest.fixture
def machine(monkeypatch):
    """A machine of 4 cores whose times are set by hand."""
    times = {"clock": 0.0, "busy": 0.0, "own": 0.0}
    monkeypatch.setattr(Times, "now", staticmethod(lambda: Times(**times)))
    monkeypatch.setattr(rooms.psutil, "cpu_count", lambda: 4)
    for name in rooms.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    torch.set_num_threads(4)
    return times


@pytest.mark.parametrize(
    ("others", "threads"), [(0, 4), (0.4, 4), (0.7, 3), (1, 3), (2, 2), (3.5, 1), (9, 1)]
)
def test_other_processes_cores_are_left_to_them(machine, others, threads):
    room = Room()
    machine.update(clock=FIRST, own=2 * FIRST, busy=(2 + others) * FIRST)
    assert room.fit("vectorized") == torch.get_num_threads() == threads
    assert room.fit("looped") == torch.get_num_threads() == 4  # its bits depend on the number


def test_it_looks_again_after_a_while_and_takes_cores_that_are_free_again(machine):
    room = Room()
    machine.update(clock=FIRST / 2, busy=9)
    assert room.fit("vectorized") == 4  # too soon to say
    machine.update(clock=FIRST, busy=3 * FIRST)
    assert room.fit("vectorized") == 1
    machine.update(clock=FIRST + SECONDS / 2)
    assert room.fit("vectorized") == 1
    machine.update(clock=FIRST + SECONDS)
    assert room.fit("vectorized") == 4


def test_real_times_pass():
    first = Times.now()
    sum(range(200_000))
    second = Times.now()
    assert second.clock > first.clock
    assert second.own >= first.own > 0
    assert second.busy >= first.busy > 0


@pytest.mark.parametrize(("given", "fits"), [({}, True), ({"OMP_NUM_THREADS": "2"}, False)])
def test_a_training_is_fitted_unless_the_user_chose(machine, tmp_path, monkeypatch, given, fits):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    seen = []
    monkeypatch.setattr(Room, "fit", lambda self, executor: seen.append(executor))
    from normbench import api

    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    assert api.run(path, results=tmp_path, device="cpu").trained == 1
    assert (set(seen) == {"vectorized"}) == fits
    seen.clear()
    assert train(tmp_path / "b", path.read_text()).trained == 1  # with threads=1
    assert not seen


@pytest.mark.parametrize("model", MODELS)
def test_vectorized_stacks_have_the_same_bits_with_any_number_of_threads(model):
    runs = runs_of(
        seeds=2, model=model, train={"steps": 30, "eval_every": 10}, sweep={"optimizer.lr": [0.05, 0.1]}
    )
    trained = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        trained.append(Trained(runs, "vectorized"))
    for other in trained[1:]:
        assert all(other.same_bits(trained[0], run.run_id) for run in runs)
