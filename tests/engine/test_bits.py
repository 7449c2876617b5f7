"""The bits of a run do not depend on the other runs of its stack, on repetition, or on tracing.

In vectorized float32, every normalization and activation gives a run the same bits alone (padded to a stack
of two) as in any stack. This needs `MKL_CBWR`, which `normbench/__init__.py` sets before the first matrix
product. In the looped executor each run has its own kernels.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import pytest
import torch
from helpers.engine import CNN, MLP, Trained, norm_of, runs_of, takes, trainer

from normbench.engine import executor as executors
from normbench.engine import trace
from normbench.engine.events import RunEnd
from normbench.nn.layers import ACTIVATIONS

# Sizes that are no multiple of a vector register, so that every kernel has a remainder.
ODD = {"data": {"batch_size": 21, "test_size": 39}, "model": {"width": 15}}
RATES = [0.01, 0.05, 0.1, 0.2, 1e6]


def odd_runs(seeds=2, rates=RATES, model=None, steps=40, optimizer=None, **train):
    return runs_of(
        seeds=seeds,
        data=ODD["data"],
        optimizer=optimizer or {},
        model={**ODD["model"], **(model or {})},
        train={"steps": steps, "eval_every": 10, **train},
        sweep={"optimizer.lr": rates},
    )


def check_neighbors(runs, executor="vectorized"):
    """Train all runs in one stack, then some of them in another: no bit of a healthy run may differ."""
    everyone = Trained(runs, executor)
    healthy = [run for run in runs if run.settings.optimizer.lr < 1]
    assert all(everyone.ends[run.run_id].status == "finished" for run in healthy)
    for part in (healthy[:1], healthy[1:4]):
        apart = Trained(part, executor)
        for run in part:
            assert apart.same_bits(everyone, run.run_id), run.settings.optimizer.lr
    return everyone


@pytest.mark.parametrize("norm", takes(MLP))
def test_neighbors_change_no_bit(norm):
    """Other runs are absent, or diverge at a learning rate of 1e6. Runs of one seed share a batch."""
    everyone = check_neighbors(odd_runs(model={"norm": norm_of(norm, groups=3)}))
    if norm not in ("batchnorm", "rmsnorm", "dynamic_tanh"):  # their loss stays finite at any learning rate
        assert "diverged" in {end.status for end in everyone.ends.values()}


@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS) - {"relu", "identity"}))
def test_neighbors_change_no_bit_with_any_activation(activation):
    check_neighbors(odd_runs(model={"activation": activation, "norm": "none"}))


@pytest.mark.parametrize("placement", ["input", "before_norm", "classifier"])
def test_neighbors_change_no_bit_with_dropout(placement):
    dropout = {"rate": 0.2, "placement": placement}
    check_neighbors(odd_runs(model={"norm": "layernorm", "dropout": dropout}))


@pytest.mark.parametrize(
    ("name", "norm", "more"),
    [
        ("highway", "batchnorm", {"depth": 3}),
        ("lstm", "none", {"pooling": 2}),
        ("lstm", "batchnorm", {"pooling": 4}),
        ("rnn", "layernorm", {"pooling": 2}),
    ],
)
def test_neighbors_change_no_bit_in_other_architectures(name, norm, more):
    model = {"name": name, "width": 15, "norm": norm, **more}
    check_neighbors(odd_runs(model=model, rates=[0.05, 0.1, 1e6], steps=20))


@pytest.mark.parametrize("norm", ["none", "batchnorm", "weightnorm"])
def test_neighbors_change_no_bit_in_the_looped_executor(norm):
    check_neighbors(odd_runs(model={"norm": norm}, rates=[0.05, 0.1, 1e6]), "looped")
    model = {**CNN, "norm": norm, "width": 3}
    check_neighbors(odd_runs(model=model, rates=[0.02, 0.05, 1e6], steps=20), "looped")


@pytest.mark.parametrize("executor", ["vectorized", "looped"])
def test_the_same_twice_gives_equal_bits(executor):
    dropout = {"rate": 0.2, "placement": "after_norm"}
    runs = odd_runs(model={"norm": "batchnorm", "dropout": dropout}, rates=[0.05, 0.1])
    first, second = Trained(runs, executor), Trained(runs, executor)
    assert all(first.same_bits(second, run.run_id) for run in runs)


def without_fusion(monkeypatch):
    """Empty the cache of traces, and trace without fusing updates into matrix products."""
    monkeypatch.setattr(trace, "_cache", OrderedDict())
    monkeypatch.setattr(trace, "_fuse_updates", lambda graph: None)


@pytest.mark.parametrize("executor", ["vectorized", "looped"])
@pytest.mark.parametrize("norm", takes(MLP))
def test_the_traced_step_equals_the_untraced_one_bit_for_bit(norm, executor, monkeypatch):
    dropout = {"rate": 0.2, "placement": "after_norm"}
    runs = odd_runs(
        model={"norm": norm_of(norm, groups=3), "dropout": dropout},
        rates=[0.05, 0.1],
        steps=8,
        dtype="float64",
    )
    without_fusion(monkeypatch)
    traced = Trained(runs, executor)
    monkeypatch.setattr(executors, "traced", lambda key, function, example: torch.enable_grad()(function))
    plain = Trained(runs, executor)
    assert all(traced.same_bits(plain, run.run_id) for run in runs)


@pytest.mark.parametrize(
    "optimizer",
    [
        {"name": "sgd"},
        {"name": "sgd", "momentum": 0.9},
        {"name": "sgd", "weight_decay": 0.1},
        {"name": "adam"},
    ],
)
@pytest.mark.parametrize("norm", ["none", "batchnorm", "weightnorm"])
def test_updates_fused_into_the_matrix_product_change_only_the_rounding(norm, optimizer, monkeypatch):
    runs = odd_runs(model={"norm": norm}, rates=[0.05, 0.1], steps=30, dtype="float64", optimizer=optimizer)
    monkeypatch.setattr(trace, "_cache", OrderedDict())
    fused = Trained(runs, "vectorized")
    code = [program.run.__self__.code for key, program in trace._cache.items() if key[2][0] == "step"]
    plain_sgd = optimizer == {"name": "sgd"}
    assert any("Tensor_baddbmm_(" in one for one in code) == plain_sgd
    without_fusion(monkeypatch)
    apart = Trained(runs, "vectorized")
    for run in runs:
        for one, other in zip(fused.rows[run.run_id], apart.rows[run.run_id], strict=True):
            assert one.test_loss == pytest.approx(other.test_loss, rel=1e-11)


@pytest.mark.parametrize("executor", ["vectorized", "looped"])
def test_the_traced_cnn_equals_the_untraced_one_bit_for_bit(executor, monkeypatch):
    runs = odd_runs(model={**CNN, "width": 3, "norm": "batchnorm"}, rates=[0.05, 0.1], steps=8)
    without_fusion(monkeypatch)
    traced = Trained(runs, executor)
    monkeypatch.setattr(executors, "traced", lambda key, function, example: torch.enable_grad()(function))
    plain = Trained(runs, executor)
    assert all(traced.same_bits(plain, run.run_id) for run in runs)


@pytest.mark.parametrize("executor", ["vectorized", "looped"])
def test_divergence_is_recorded_at_its_step(executor):
    """The recorded step, counted from 1, is the first whose loss is not finite. Earlier rows are kept."""
    runs = odd_runs(rates=[0.1, 30.0, 1e6], model={"activation": "relu", "depth": 4}, steps=60)
    trained = Trained(runs, executor)
    seen = set()
    for run in runs:
        alone = trainer([run], executor)
        losses = []
        with torch.no_grad():
            for step in range(60):
                batch = alone.sampler.batch([run.seed] * 2, step)
                loss, _ = alone.executor.step(alone.state, batch, alone._hypers(step))
                losses.append(float(loss[0]))
                if not math.isfinite(losses[-1]):
                    break
        end, rows = trained.ends[run.run_id], trained.rows[run.run_id]
        if math.isfinite(losses[-1]):
            assert (end.status, end.steps, end.diverged_at_step) == ("finished", 60, None)
            continue
        seen.add(len(losses))
        assert (end.status, end.steps, end.diverged_at_step) == ("diverged", len(losses), len(losses))
        assert end.train_loss_last_tenth is None
        assert [row.step for row in rows] == list(range(0, len(losses), 10))
    assert seen


@pytest.mark.parametrize("executor", ["vectorized", "looped"])
@pytest.mark.parametrize("optimizer", [{"name": "sgd", "momentum": 0.9}, {"name": "adam", "lr": 0.01}])
def test_a_stored_state_continues_as_if_never_stopped(optimizer, executor, tmp_path):
    dropout = {"rate": 0.2, "placement": "after_norm"}
    runs = runs_of(
        seeds=2,
        model={"norm": "batchnorm", "dropout": dropout, "width": 15},
        optimizer=optimizer,
        train={"steps": 70, "eval_every": 30},
        sweep={"optimizer.lr": [0.01, 0.05, 1e30]},  # 1e30 diverges, and leaves before the stop
    )
    undisturbed = [strip(event) for event in trainer(runs, executor).events()]
    first = trainer(runs, executor)
    events = [strip(event) for event in first.events(lambda: first.state.step >= 30)]
    assert first.state.step == 30
    assert len(first.state.lanes) < len(runs)
    torch.save(vars(first.state), tmp_path / "state.pt")
    stored = torch.load(tmp_path / "state.pt", weights_only=True)
    second = trainer(runs, executor, state=type(first.state)(**stored))
    assert second.state is not first.state
    events += [strip(event) for event in second.events()]
    assert events == undisturbed


def strip(event):
    """Return the event as text, without its time."""
    fields = dict(vars(event))
    if isinstance(event, RunEnd):
        assert fields.pop("train_seconds") > 0
    return repr((type(event).__name__, fields))
