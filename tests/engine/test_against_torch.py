"""Runs in stacks of up to 32 agree with torch.nn and torch.optim in float64."""

from __future__ import annotations

import pytest
import torch
from helpers.engine import CNN, MLP, Trained, norm_of, runs_of, takes, train_plainly

RATES = [0.001, 0.003, 0.01, 0.03, 0.05, 0.1, 0.2, 0.3]
EXECUTORS = ["vectorized", "looped"]
PLACEMENTS = ["input", "before_norm", "after_norm", "after_activation", "classifier"]
STEPS, EVERY = 60, 5  # of each run; between its evaluations
TENTH = STEPS // 10


def quick(norms):
    """Leave whitening, whose step is the slowest by far, to the thorough tests."""
    return [pytest.param(one, marks=pytest.mark.thorough if "whitening" in one else ()) for one in norms]


def check(executor, rate, seeds, rates, **parts):
    """Train a stack, then its runs of this learning rate (at most two) in plain torch; all must agree."""
    parts.setdefault("optimizer", {"momentum": 0.5, "weight_decay": 0.001})
    parts["train"] = {"dtype": "float64", "steps": STEPS, "eval_every": EVERY}
    runs = runs_of(seeds=seeds, sweep={"optimizer.lr": rates}, **parts)
    trained = Trained(runs, executor)
    chosen = [run for run in runs if run.settings.optimizer.lr == rate]
    for run in {chosen[0].run_id: chosen[0], chosen[-1].run_id: chosen[-1]}.values():
        losses, test, tensors = train_plainly(run)
        first, last = sum(losses[:TENTH]) / TENTH, sum(losses[-TENTH:]) / TENTH
        assert last <= 0.85 * first, f"the loss only goes from {first} to {last}"
        rows = trained.rows[run.run_id]
        assert [row.step for row in rows] == list(range(0, STEPS + 1, EVERY))
        means = torch.tensor(losses, dtype=torch.float64).view(-1, EVERY).mean(1).tolist()
        ours = torch.tensor([[row.train_loss, row.test_loss] for row in rows[1:]], dtype=torch.float64)
        theirs = torch.tensor(list(zip(means, test, strict=True)), dtype=torch.float64)
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=0)
        end = trained.ends[run.run_id]
        assert end.status == "finished"
        assert abs(end.train_loss_last_tenth - last) <= 1e-9 * last
        for key, value in tensors.items():
            torch.testing.assert_close(trained.tensors[run.run_id][key], value, rtol=1e-9, atol=1e-11)
    return runs


@pytest.mark.parametrize("norm", takes(MLP))
def test_mlp(norm):
    slow = "whitening" in norm  # eigenvalues or inverse roots of each batch
    rates = [0.1] if slow else RATES
    runs = check("vectorized", 0.1, 4, rates, model={"norm": norm_of(norm), "activation": "tanh"})
    assert len(runs) == 4 * len(rates)


@pytest.mark.parametrize("norm", quick(takes(MLP)))
def test_mlp_looped(norm):
    check("looped", 0.1, 2, [0.03, 0.1], model={"norm": norm_of(norm), "activation": "tanh"})


@pytest.mark.parametrize("norm", ["none", "batchnorm"])
def test_mlp_with_one_seed_shares_the_batch(norm):
    rates = [0.2 - 0.005 * index for index in range(32)]
    assert len(check("vectorized", 0.2, [3], rates, model={"norm": norm})) == 32


@pytest.mark.parametrize("norm", ["batchnorm", "selu", "weightnorm_mean_only_batchnorm"])
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_mlp_with_dropout(placement, norm):
    dropout = {"rate": 0.1, "placement": placement}
    activation = "sigmoid" if norm == "batchnorm" else "relu"
    model = {"norm": norm, "activation": activation, "width": 24, "dropout": dropout}
    assert len(check("vectorized", 0.2, 4, RATES, model=model)) == 32


@pytest.mark.parametrize("executor", EXECUTORS)
def test_mlp_with_dropout_and_a_shared_seed(executor):
    model = {"norm": "batchnorm", "dropout": {"rate": 0.2, "placement": "after_activation"}}
    check(executor, 0.2, [1], [0.05, 0.1, 0.2], model=model)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_stack_of_one(executor):
    check(executor, 0.2, [5], [0.2], model={"norm": "batchnorm", "activation": "gelu"})


FLAT = {"none": 0.05, "layernorm": 0.05, "batchnorm": 0.05, "batch_renorm": 0.05, "groupnorm": 0.05}
FLAT |= {"instancenorm": 0.05, "rmsnorm": 0.05, "dynamic_tanh": 0.1}
FLAT |= {"weight_standardization": 0.05, "scaled_weight_standardization": 0.05}


def check_cnn(executor, norm, rate, seeds, rates, **model):
    """Check with augmentation, and with the flat head where the averaging one learns too slowly."""
    head = "flatten" if norm in FLAT else "average"
    # Weights of sum 0 map equal pixels to 0 up to rounding. With ReLU, that rounding decides the gradient.
    activation = "tanh" if norm in ("scaled_weight_standardization", "dynamic_tanh") else "relu"
    model = {
        **CNN,
        "head": head,
        "activation": activation,
        "norm": norm_of(norm),
        "init": {"scheme": "he"},
        **model,
    }
    return check(
        executor,
        rate,
        seeds,
        rates,
        model=model,
        data={"augment": {"pad": 1, "flip": True}},
        optimizer={"momentum": 0.8, "weight_decay": 0.001},
    )


@pytest.mark.parametrize("norm", quick(takes(CNN)))
def test_cnn_looped(norm):
    rate = FLAT.get(norm, 0.2)
    check_cnn("looped", norm, rate, 2, [0.01, rate])


@pytest.mark.parametrize("norm", ["none", "batchnorm", "layernorm", "weightnorm", "selu"])
def test_cnn_vectorized(norm):
    rate = FLAT.get(norm, 0.2)
    check_cnn("vectorized", norm, rate, 2, [0.01, rate])


@pytest.mark.thorough
def test_cnn_with_dropout_in_a_stack_of_32():
    dropout = {"rate": 0.02, "placement": "after_norm"}
    assert len(check_cnn("looped", "batchnorm", 0.05, 4, RATES, dropout=dropout, width=6)) == 32
