"""A step that raises because numbers are not finite is divergence; any other exception stays a crash."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from helpers.engine import Trained, runs_of, trainer
from torch import nn

from normbench.engine.divergence import Repeated, broken, repeat
from normbench.engine.evaluation import Evaluator
from normbench.engine.executor import Executor

FAIL = 37  # the step that raises; the losses were checked after step 25


class Picky(nn.Module):
    """Raises where its input is not finite, as a factorization does, or at any input."""

    def __init__(self, always=False):
        super().__init__()
        self.always = always

    def forward(self, x):
        if self.always or not bool(torch.isfinite(x).all()):
            raise RuntimeError("cannot be factorized")
        return x


class Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x):
        return x * self.factor


def seen(net, value=1.0, training=True):
    params = {name: p.detach()[None] for name, p in net.named_parameters()}
    state = SimpleNamespace(params=params, buffers={})
    data = torch.full((2, 3), value), torch.tensor([0, 1]), {}
    return repeat(net, state, [(training, data)])


@pytest.mark.parametrize("training", [True, False])
def test_what_a_module_returned_before_the_exception_tells_why_it_raised(training):
    blown = seen(nn.Sequential(Times(1e30), Times(1e30), Picky()), training=training)
    assert "output of 1" in blown.places
    assert "input of 2" in blown.places
    assert isinstance(blown.error, RuntimeError)
    bug = seen(nn.Sequential(Times(1e30), Picky(always=True)), training=training)
    assert bug.places == set()
    assert isinstance(bug.error, RuntimeError)
    good = seen(nn.Sequential(Times(1.0), Picky()), training=training)
    assert (good.places, good.error) == (set(), None)


def test_a_gradient_that_is_not_finite_is_seen_where_the_loss_is_finite():
    class Root(nn.Module):
        def forward(self, x):
            return torch.sqrt(x - x.detach()) + x

    assert "gradient" in seen(nn.Sequential(Times(1.0), Root())).places


def test_hooks_are_removed_and_the_mode_of_the_net_stays():
    net = nn.Sequential(Times(1.0), Picky(always=True))
    net.eval()
    seen(net)
    assert not net.training
    assert not net[0]._forward_hooks
    assert not net[0]._forward_pre_hooks


def test_numbers_that_were_infinite_from_the_start_do_not_count():
    (run,) = runs_of()
    stack = trainer([run])
    start = trainer([run]).state
    assert not broken(stack.state, start)
    mask = torch.tensor([[0.0, -torch.inf]] * 2)
    for state in (stack.state, start):
        state.buffers["mask"] = mask.clone()
    assert not broken(stack.state, start)
    stack.state.buffers["mask"][0, 0] = torch.nan
    assert broken(stack.state, start)


def failing(monkeypatch, harm=lambda state: None, error=RuntimeError, at=FAIL):
    """Let the step raise at update `at`, after `harm` was done to the state."""
    step = Executor.step

    def raising(self, state, batch, hyper):
        if state.step == at:
            harm(state)
            raise error("no")
        return step(self, state, batch, hyper)

    monkeypatch.setattr(Executor, "step", raising)


def spoil(group):
    def harm(state):
        tensors = {"params": state.params, "optimizer": state.optimizer.get("momentum", {})}[group]
        next(iter(tensors.values()))[:] = torch.inf

    return harm


@pytest.mark.parametrize("executor", ["vectorized", "looped"])
def test_a_run_that_raises_on_parameters_that_are_not_finite_has_diverged(monkeypatch, executor):
    (run,) = runs_of(train={"steps": 60, "eval_every": 10})
    whole = Trained([run], executor)
    failing(monkeypatch, spoil("params"))
    settled = []
    one = Trained([run], executor, advance=settled.append)
    (end,) = one.ends.values()
    assert (end.status, end.steps, end.diverged_at_step) == ("diverged", FAIL + 1, FAIL + 1)
    assert (end.train_loss_last_tenth, end.error) == (None, "RuntimeError: no")
    assert end.train_seconds > 0
    assert sum(settled) == 60
    rows = one.rows[run.run_id]
    assert [row.step for row in rows] == [0, 10, 20, 30]
    assert rows == whole.rows[run.run_id][:4]


def test_a_run_that_raises_on_a_state_of_the_optimizer_that_is_not_finite_has_diverged(monkeypatch):
    (run,) = runs_of(optimizer={"name": "adam", "lr": 0.01})

    def harm(state):
        next(iter(next(iter(state.optimizer.values())).values()))[:] = torch.nan

    failing(monkeypatch, harm)
    (end,) = Trained([run]).ends.values()
    assert (end.status, end.diverged_at_step) == ("diverged", FAIL + 1)


def test_a_loss_of_this_chunk_that_is_not_finite_names_the_step(monkeypatch):
    (run,) = runs_of(train={"steps": 60, "eval_every": 60})
    step = Executor.step

    def raising(self, state, batch, hyper):
        if state.step == FAIL:
            raise RuntimeError("no")
        loss, correct = step(self, state, batch, hyper)
        return (loss * torch.nan if state.step == 30 else loss), correct

    monkeypatch.setattr(Executor, "step", raising)
    (end,) = Trained([run]).ends.values()
    assert (end.status, end.diverged_at_step) == ("diverged", 31)


def test_a_module_that_returns_infinity_in_the_failing_step_explains_it(monkeypatch):
    """The parameters are finite; the product with the images is not."""
    (run,) = runs_of()

    def harm(state):
        next(iter(state.params.values()))[:] = 3e38

    failing(monkeypatch, harm)
    (end,) = Trained([run]).ends.values()
    assert (end.status, end.diverged_at_step) == ("diverged", FAIL + 1)


def test_an_exception_on_finite_numbers_stays_a_crash_caused_by_that_of_plain_torch(monkeypatch):
    (run,) = runs_of()
    failing(monkeypatch)
    with pytest.raises(RuntimeError, match=r"^no$") as caught:
        Trained([run])
    assert caught.value.__cause__ is None  # plain torch does not raise
    monkeypatch.setattr("normbench.engine.loop.repeat", lambda *_: Repeated(set(), TypeError()))
    with pytest.raises(RuntimeError, match=r"^no$") as caught:
        Trained([run])
    assert isinstance(caught.value.__cause__, TypeError)


@pytest.mark.parametrize(
    ("now", "word"), [({"output of mask"}, None), ({"output of mask", "output of 1"}, "diverged")]
)
def test_a_module_whose_output_is_infinite_at_the_start_too_explains_nothing(monkeypatch, now, word):
    (run,) = runs_of()
    failing(monkeypatch)
    answers = iter([Repeated(set(now)), Repeated({"output of mask"})])  # of this step, and of the first
    monkeypatch.setattr("normbench.engine.loop.repeat", lambda *_: next(answers))
    if word is None:
        with pytest.raises(RuntimeError, match="no"):
            Trained([run])
    else:
        assert [end.status for end in Trained([run]).ends.values()] == [word]


def test_a_failed_factorization_is_divergence_unless_it_fails_on_the_first_batch(monkeypatch):
    (run,) = runs_of()
    with monkeypatch.context() as later:
        failing(later, error=torch.linalg.LinAlgError)
        (end,) = Trained([run]).ends.values()
    assert (end.status, end.diverged_at_step) == ("diverged", FAIL + 1)
    failing(monkeypatch, error=torch.linalg.LinAlgError, at=0)
    with pytest.raises(torch.linalg.LinAlgError):
        Trained([run])


def test_a_stack_of_several_runs_is_not_judged(monkeypatch):
    runs = runs_of(seeds=2)
    failing(monkeypatch, spoil("params"))
    with pytest.raises(RuntimeError, match="no"):
        Trained(runs)


@pytest.mark.parametrize(("step", "expected"), [(0, 1), (10, 11), (60, 60)])
def test_an_exception_in_an_evaluation_is_judged_in_the_same_way(monkeypatch, step, expected):
    (run,) = runs_of(train={"steps": 60, "eval_every": 10})
    measure = Evaluator.measure

    def raising(harm):
        def evaluation(self, state, seeds, full):
            if state.step == step:
                harm(state)
                raise RuntimeError("no")
            return measure(self, state, seeds, full)

        return evaluation

    with monkeypatch.context() as bad:
        bad.setattr(Evaluator, "measure", raising(spoil("params")))
        one = Trained([run])
    (end,) = one.ends.values()
    assert (end.status, end.steps, end.diverged_at_step) == ("diverged", expected, expected)
    assert [row.step for row in one.rows[run.run_id]] == list(range(0, step, 10))
    monkeypatch.setattr(Evaluator, "measure", raising(lambda state: None))
    with pytest.raises(RuntimeError, match="no"):
        Trained([run])


def test_a_run_that_raises_and_one_that_returns_nan_end_alike(monkeypatch):
    """The same step, once with NaN and once with an exception: the same rows and the same end."""
    (run,) = runs_of(train={"steps": 60, "eval_every": 10})
    with monkeypatch.context() as nan:
        step = Executor.step

        def broken_step(self, state, batch, hyper):
            if state.step == FAIL:
                spoil("params")(state)
            return step(self, state, batch, hyper)

        nan.setattr(Executor, "step", broken_step)
        quiet = Trained([run])
    failing(monkeypatch, spoil("params"))
    loud = Trained([run])
    assert quiet.rows == loud.rows
    ends = [replace(one.ends[run.run_id], train_seconds=0.0, error=None) for one in (quiet, loud)]
    assert ends[0] == ends[1]
