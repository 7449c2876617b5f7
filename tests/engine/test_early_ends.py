"""Runs that end leave the stack, and their lanes with them. No byte of the other runs' records shows it."""

from __future__ import annotations

import pytest
import torch
from helpers.engine import norm_of, runs_of, trainer
from helpers.probes import probe

from normbench.engine.checkpoint import dump_state, load_state, seal
from normbench.engine.events import RunEnd
from normbench.engine.executor import Executor
from normbench.engine.loop import StackTrainer
from normbench.nn import inductor

STEPS, CHUNKS = 60, (25, 30, 55)  # and the steps after which runs may leave, or the training stop
ENDS = {3: 1, 25: 0, 31: 6, 54: 2, 58: 5}  # before this update, the weights of this run become infinite
LEFT = {25: 7, 30: 6, 55: 4}  # of 8 runs; 3 finish
DROPOUT = {"rate": 0.2, "placement": "after_norm"}


@pytest.fixture(autouse=True)
def _runs_end(monkeypatch):
    step = Executor.step

    def ending(self, state, batch, hyper):
        for lane, run in enumerate(state.padded):
            if run == ENDS.get(state.step):
                for tensor in state.params.values():
                    tensor[lane] = torch.inf
        return step(self, state, batch, hyper)

    monkeypatch.setattr(Executor, "step", ending)


def some_runs(model=None, optimizer=None, steps=STEPS):
    return runs_of(
        seeds=2,
        data={"batch_size": 21, "test_size": 39},
        model={"depth": 1, "width": 15, "dropout": DROPOUT, **(model or {})},
        optimizer=optimizer or {},
        train={"steps": steps, "eval_every": 30, "eval_size": 17},
        sweep={"optimizer.lr": [0.01, 0.02, 0.05, 0.1]},
    )


def probes():
    return [
        probe("activations", every=10),
        probe("gradients", steps=[0, 24, 25, 26, 54, 55, STEPS]),
        probe("forgetting", steps=[3, 55]),  # not traced
    ]


def told(event):
    """Return the event as text, without its time."""
    fields = {key: value for key, value in vars(event).items() if key != "train_seconds"}
    return repr((type(event).__name__, fields))


def all_lanes_to_the_end(runs, executor, monkeypatch, **options):
    """Return the events of a stack that no run leaves, without what it tells of runs that ended before."""
    ended, events = set(), []
    with monkeypatch.context() as patched:
        patched.setattr(StackTrainer, "_leave", lambda self, leaving: None)
        for event in trainer(runs, executor, **options).events():
            if event.run_id not in ended:
                events.append(told(event))
            if isinstance(event, RunEnd):
                ended.add(event.run_id)
    return events


def dropped_at_once(runs, executor, stops=(), probes=()):
    """Return the events of a stack, and the number of its runs and of its lanes after each chunk."""
    events, widths = [], []
    stack = trainer(runs, executor, probes=probes)
    while stack.state.lanes and stack.state.step < runs[0].settings.train.steps:
        answers = iter((False,))
        events += [told(event) for event in stack.events(lambda a=answers: next(a, True))]
        if stack.state.lanes:
            widths.append((stack.state.step, len(stack.state.lanes), stack.state.width))
        if stack.state.step in stops and stack.state.lanes:
            stack = trainer(runs, executor, probes=probes, state=stored(stack.state, runs, executor))
    return events, widths


def stored(state, runs, executor):
    """Return a state as a checkpoint gives it back."""
    ids = [run.run_id for run in runs]
    return load_state(seal(dump_state(state, ids, executor), {}), ids, executor, torch.device("cpu"))


compiles = pytest.mark.skipif(inductor.missing() is not None, reason=str(inductor.missing()))
thorough = pytest.mark.thorough


@pytest.mark.parametrize(
    ("executor", "norm", "optimizer"),
    [
        ("vectorized", "batchnorm", {"momentum": 0.9}),
        pytest.param("vectorized", "weightnorm", {"name": "adam"}, marks=thorough),
        ("looped", "batchnorm", {"momentum": 0.9}),
        pytest.param("eager", "layernorm", {}, marks=thorough),
        pytest.param("compiled", "batchnorm", {}, marks=[compiles, thorough]),
    ],
)
def test_runs_that_end_change_no_record_of_others_however_the_training_is_stopped(
    executor, norm, optimizer, monkeypatch
):
    runs = some_runs(model={"norm": norm_of(norm)}, optimizer=optimizer)
    kept = all_lanes_to_the_end(runs, executor, monkeypatch, probes=probes())
    assert sum("'diverged'" in text for text in kept) == len(ENDS)
    assert sum(text.startswith("('Layers'") for text in kept) > 8 * 3
    for stops in ((), CHUNKS):
        events, widths = dropped_at_once(runs, executor, stops, probes())
        assert events == kept, stops
        assert widths == [(step, count, count) for step, count in LEFT.items()]


@thorough
def test_two_threads_change_no_record(monkeypatch):
    runs = some_runs(model={"width": 250}, steps=30)  # large enough to be divided among threads
    one, _ = dropped_at_once(runs, "vectorized")
    torch.set_num_threads(2)
    assert all_lanes_to_the_end(runs, "vectorized", monkeypatch) == one


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("batch", "inputs", "outputs"), [(21, 64, 15), (1, 7, 3), (60, 257, 100), (33, 15, 10)]
)
def test_products_and_sums_of_a_lane_have_the_same_bits_beside_any_number_of_lanes(
    threads, batch, inputs, outputs
):
    torch.set_num_threads(threads)
    rng = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(40, *shape, generator=rng)

    x, weight, bias, rate = draw(batch, inputs), draw(outputs, inputs), draw(1, outputs), draw(1, 1)
    gradient = draw(batch, outputs)

    def results(chosen):
        x_, weight_, bias_, rate_, gradient_ = (t[chosen] for t in (x, weight, bias, rate, gradient))
        update = (gradient_ * rate_).transpose(1, 2)
        return [
            torch.baddbmm(bias_, x_, weight_.transpose(1, 2)),
            torch.matmul(x[0], weight_.transpose(1, 2)),
            torch.bmm(gradient_, weight_),
            weight_.clone().baddbmm_(update, x_, alpha=-1),
            *(gradient_.sum(axis) for axis in (1, 2, (1, 2))),
            *(gradient_.transpose(1, 2).sum(axis) for axis in (1, 2)),
        ]

    whole = results(torch.arange(40))
    for width in (2, 3, 5, 8, 16, 17, 31):
        lanes = torch.arange(width) * 40 // width
        for one, all_lanes in zip(results(lanes), whole, strict=True):
            assert torch.equal(one, all_lanes[lanes])
