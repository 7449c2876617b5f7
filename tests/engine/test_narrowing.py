"""Runs that end leave the stack. Whether their lanes go or stay idle shows in the time alone."""

from __future__ import annotations

import pytest
import torch
from helpers.engine import norm_of, runs_of, trainer
from helpers.probes import probe

from normbench.engine import vectorized
from normbench.engine.batches import BatchSampler
from normbench.engine.checkpoint import UnfitError, dump_state, load_state, seal
from normbench.engine.executor import Executor
from normbench.engine.narrowing import WorkLeft
from normbench.engine.state import LEAST
from normbench.planning.net_cost import net_cost

AT_ONCE, NEVER = 0.0, float("inf")  # what a trace costs
STEPS, CHUNKS = 60, (25, 30, 55)  # and the steps after which runs may leave, or the training stop
# Before an update, the weights of a run become infinite. Idle lanes repeat the first run.
ENDS = {3: 1, 25: 0, 31: 6, 54: 2, 58: 5}
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
        model={"width": 15, "dropout": DROPOUT, **(model or {})},
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


class Watched:
    """A stack trained to its end, with its width and the number of its runs after each chunk."""

    def __init__(self, runs, executor, price, monkeypatch, *, stops=(), at=None, probes=()):
        monkeypatch.setattr(vectorized, "TRACE_FLOPS", price)
        self.events, self.widths = [], []
        stack = trainer(runs, executor, probes=probes)
        while stack.state.lanes and stack.state.step < runs[0].settings.train.steps:
            answers = iter((False,))
            self.events += [told(event) for event in stack.events(lambda a=answers: next(a, True))]
            if stack.state.lanes:
                self.widths.append((stack.state.step, stack.state.width, len(stack.state.lanes)))
            if stack.state.step in stops and stack.state.lanes:
                monkeypatch.setattr(vectorized, "TRACE_FLOPS", price if at is None else at)
                stack = trainer(runs, executor, probes=probes, state=stored(stack.state, runs, executor))


def stored(state, runs, executor):
    """Return a state as a checkpoint gives it back."""
    ids = [run.run_id for run in runs]
    return load_state(seal(dump_state(state, ids, executor), {}), ids, executor, torch.device("cpu"))


@pytest.mark.parametrize(
    ("executor", "norm", "optimizer"),
    [
        ("vectorized", "none", {}),
        ("vectorized", "batchnorm", {"momentum": 0.9}),
        ("vectorized", "weightnorm", {"name": "adam"}),
        ("looped", "batchnorm", {"momentum": 0.9}),
        ("eager", "layernorm", {}),
    ],
)
def test_records_are_the_same_whether_lanes_go_or_stay_idle(executor, norm, optimizer, monkeypatch):
    runs = some_runs(model={"norm": norm_of(norm)}, optimizer=optimizer)
    go = Watched(runs, executor, AT_ONCE, monkeypatch, probes=probes())
    assert sum("'diverged'" in text for text in go.events) == len(ENDS)
    assert sum(text.startswith("('Layers'") for text in go.events) > 8 * 3
    assert go.widths == [(step, lanes, lanes) for step, lanes in LEFT.items()]
    stay = Watched(runs, executor, NEVER, monkeypatch, probes=probes())
    assert stay.events == go.events
    if executor == "vectorized":
        assert stay.widths == [(step, 8, lanes) for step, _, lanes in go.widths]
    else:  # their programs are those of one run: nothing is won by idle lanes
        assert stay.widths == go.widths


@pytest.mark.parametrize(
    ("executor", "price"), [("vectorized", AT_ONCE), ("vectorized", NEVER), ("looped", AT_ONCE)]
)
def test_a_training_stopped_before_or_after_runs_leave_goes_on_with_the_same_records(
    executor, price, monkeypatch
):
    runs, measured = some_runs(), probes()[:2]
    whole = Watched(runs, executor, price, monkeypatch, probes=measured)
    for stops in ((25,), (30,), CHUNKS):
        again = Watched(runs, executor, price, monkeypatch, probes=measured, stops=stops)
        assert again.events == whole.events
        assert again.widths == whole.widths
    # As if another version had decided before: 0.1 dropped lanes at once.
    other = NEVER if price == AT_ONCE else AT_ONCE
    mixed = Watched(runs, executor, price, monkeypatch, probes=measured, stops=CHUNKS, at=other)
    assert mixed.events == whole.events


def test_two_threads_change_no_record(monkeypatch):
    runs = some_runs(model={"width": 250, "depth": 1}, steps=35)  # large enough to be divided among threads
    one = Watched(runs, "vectorized", AT_ONCE, monkeypatch).events
    torch.set_num_threads(2)
    for price in (NEVER, AT_ONCE):
        assert Watched(runs, "vectorized", price, monkeypatch).events == one


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


def test_idle_lanes_repeat_the_first_run_and_its_batches(monkeypatch):
    monkeypatch.setattr(vectorized, "TRACE_FLOPS", NEVER)
    runs = some_runs()
    stack = trainer(runs)
    seen = []
    batch = BatchSampler.batch

    def watched(self, seeds, step):
        seen.append(list(seeds))
        return batch(self, seeds, step)

    monkeypatch.setattr(BatchSampler, "batch", watched)
    list(stack.events(lambda: stack.state.step >= 55))
    state = stack.state
    assert state.padded == [3, 4, 5, 7] + [3] * 4
    with torch.no_grad():
        stack._train_step()
    assert seen[-1] == [runs[run].seed for run in state.padded]
    for tensors in (state.params, state.buffers, *state.optimizer.values()):
        for tensor in tensors.values():
            assert all(torch.equal(tensor[lane], tensor[0]) for lane in range(len(state.lanes), state.width))


def test_a_part_of_a_state_has_no_lanes_of_runs_that_left(monkeypatch):
    monkeypatch.setattr(vectorized, "TRACE_FLOPS", NEVER)
    stack = trainer(some_runs())
    list(stack.events(lambda: stack.state.step >= 30))
    assert stack.state.width == 8
    part = stack.state.of([1, 2, 0])
    assert (part.width, part.lanes) == (3, [0, 1, 2])
    assert stack.state.of([1]).width == LEAST


@pytest.mark.parametrize("harm", ["too narrow", "no idle lane", "a sum", "a weight"])
def test_a_checkpoint_whose_lanes_do_not_fit_is_refused(harm, monkeypatch):
    monkeypatch.setattr(vectorized, "TRACE_FLOPS", NEVER)
    runs = some_runs()
    stack = trainer(runs)
    list(stack.events(lambda: stack.state.step >= 30))
    state = stack.state
    if harm == "too narrow":
        state.lanes = list(range(state.width + 1))
    elif harm == "no idle lane":
        state = state.of([0])
        groups = (state.params, state.buffers, *state.optimizer.values())
        for tensors in groups:
            tensors.update({name: tensor[:1] for name, tensor in tensors.items()})
        for name in ("train_loss", "train_correct", "tail_loss"):
            setattr(state, name, getattr(state, name)[:1])
        state.seconds = [0.0] * len(runs)
    elif harm == "a sum":
        state.tail_loss = state.tail_loss[:-1]
    else:
        name = next(iter(state.params))
        state.params[name] = state.params[name][:-1]
    runs = [*runs, runs[0]] if harm == "too narrow" else runs
    state.seconds = [0.0] * len(runs)
    with pytest.raises(UnfitError, match="do not belong together"):
        stored(state, runs, "vectorized")


# The rule


def left_of(stack, step):
    return WorkLeft.of(stack.settings, stack.dataset, step, stack.evaluator, stack.probing)


def test_the_work_that_is_left_counts_steps_evaluations_and_probes():
    runs = some_runs()
    plain, probed = trainer(runs), trainer(runs, probes=[probe("activations", steps=[0, 30, 50])])
    net = net_cost(plain.settings.model, plain.dataset.input_shape, plain.dataset.classes)
    step = 21 * (net.train_flops + 100 * net.activations)
    image = net.forward_flops + 100 / 3 * net.activations
    last = 39 + 39  # test images, and as many training images
    assert plain.settings.train.evaluation_steps == [0, 30, 60]
    for done, images in ((0, 17 + last), (29, 17 + last), (30, last), (59, last), (60, 0)):
        assert left_of(plain, done).flops == pytest.approx((60 - done) * step + images * image), done
    more = probe("activations").cost_in(plain.executor.model, "vectorized") * step
    for done, times in ((0, 3), (1, 2), (30, 2), (31, 1), (51, 0)):
        gained = left_of(probed, done).flops - left_of(plain, done).flops
        assert gained == pytest.approx(times * more), done
    assert left_of(plain, 0).layers == net.layers == 3


def test_lanes_go_exactly_if_what_they_save_takes_longer_than_the_traces(monkeypatch):
    runs = some_runs()
    stack = trainer(runs)
    price = left_of(stack, 25).flops / left_of(stack, 25).layers  # of the lane that is idle from step 25 on
    for factor, widths in ((0.999, [7, 7, 7]), (1.001, [8, 6, 6])):
        # Less is left at step 30. But two lanes are then idle, if the first one stayed.
        watched = Watched(runs, "vectorized", factor * price, monkeypatch)
        assert [width for _, width, _ in watched.widths][:3] == widths


def test_a_net_of_the_usual_size_drops_lanes_early_and_keeps_them_near_the_end():
    stack = trainer(runs_of(model={"depth": 3, "width": 100}, train={"steps": 1000, "eval_every": 100}))
    early, late = left_of(stack, 25), left_of(stack, 990)
    price = stack.executor.trace_flops(stack.device) * early.layers
    assert 3 * late.flops < price < 5 * early.flops


def test_lanes_go_at_once_where_they_are_timed_or_bits_could_depend_on_them(monkeypatch):
    timed = [probe("cost", steps=[0, 50], repeats=1)]
    watched = Watched(some_runs(), "vectorized", NEVER, monkeypatch, probes=timed)
    assert all(width == max(LEAST, lanes) for _, width, lanes in watched.widths)
    stack = trainer(some_runs())
    assert stack.executor.trace_flops(torch.device("cpu")) == NEVER
    assert stack.executor.trace_flops(torch.device("cuda")) == 0
