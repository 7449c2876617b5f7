"""What a stack reports: when it evaluates, on which images, and how it forms means."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.engine import PlainNet, Trained, data_of, runs_of, trainer

from normbench.config.schema import Spaced, Train
from normbench.engine.state import initial_model


def test_evaluation_steps():
    assert Train(steps=10, eval_every=4).evaluation_steps == [0, 4, 8, 10]
    assert Train(steps=10, eval_every=5).evaluation_steps == [0, 5, 10]
    assert Train(steps=10, eval_every=100).evaluation_steps == [0, 10]
    assert Train(steps=10, eval_every=[3, 1, 12]).evaluation_steps == [0, 1, 3, 10]
    assert Train(steps=1000, eval_every=Spaced(log=4)).evaluation_steps == [0, 1, 10, 100, 1000]
    assert Train(steps=1000, eval_every=Spaced(log=1)).evaluation_steps == [0, 1000]


def test_the_tail_is_the_last_tenth_and_at_least_one_step():
    assert [Train(steps=steps).tail_start for steps in (1, 9, 10, 25, 1000)] == [0, 8, 9, 23, 900]


@pytest.mark.parametrize("executor", ["vectorized", "looped"])
def test_means_over_training_batches_and_inference_on_all_parts(executor):
    """The test sums losses and answers of each batch itself, and takes means since the last evaluation."""
    (run,) = runs_of(
        data={"val_size": 50},
        model={"activation": "tanh"},
        train={"steps": 30, "eval_every": [7, 18], "dtype": "float64"},
    )
    trained, dataset = Trained([run], executor), data_of(run)
    stack = trainer([run], executor)
    net = PlainNet(run, dataset, {}).double()
    first, _ = stack.sampler.images(run.seed, 0)
    net.load_state_dict(initial_model(run, dataset.input_shape, dataset.classes, first).state_dict())
    optimizer, losses, right, rows = (
        torch.optim.SGD(net.parameters(), lr=0.1),
        [],
        [],
        trained.rows[run.run_id],
    )

    def measured(part):
        with torch.no_grad():
            logits = net(part.x)
        loss = torch.nn.functional.cross_entropy(logits, part.y).item()
        return loss, (logits.argmax(1) == part.y).double().mean().item()

    expected, since = [(None, None, *measured(dataset.val), *measured(dataset.test))], 0
    for step in range(30):
        x, y = stack.sampler.images(run.seed, step)
        optimizer.zero_grad()
        logits = net(x)
        loss = torch.nn.functional.cross_entropy(logits, y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        right.append((logits.argmax(1) == y).double().mean().item())
        if step + 1 in (7, 18, 30):
            means = [sum(values[since:]) / (step + 1 - since) for values in (losses, right)]
            expected.append((*means, *measured(dataset.val), *measured(dataset.test)))
            since = step + 1
    assert [row.step for row in rows] == [0, 7, 18, 30]
    for row, numbers in zip(rows, expected, strict=True):
        ours = (
            *(row.train_loss, row.train_accuracy, row.val_loss, row.val_accuracy),
            *(row.test_loss, row.test_accuracy),
        )
        assert ours[:2] == (None, None) if row.step == 0 else True
        pairs = [pair for pair in zip(ours, numbers, strict=True) if pair[1] is not None]
        assert all(math.isclose(a, b, rel_tol=1e-9) for a, b in pairs)
        assert row.epoch == row.step / (len(dataset.train) // 20)
    end = trained.ends[run.run_id]
    assert math.isclose(end.train_loss_last_tenth, sum(losses[27:]) / 3, rel_tol=1e-9)
    assert end.label_entropy == dataset.label_entropy
    assert end.parameters == sum(parameter.numel() for parameter in net.parameters())
    assert (end.status, end.steps, end.executor) == ("finished", 30, executor)


def test_eval_size_limits_the_test_images_except_at_the_end():
    parts = {"train": {"steps": 20, "eval_every": 10, "eval_size": 7, "dtype": "float64"}}
    (some,), (every,) = runs_of(**parts), runs_of(train={**parts["train"], "eval_size": None})
    few, full = Trained([some]).rows[some.run_id], Trained([every]).rows[every.run_id]
    for row in few[:-1]:
        assert round(row.test_accuracy * 7, 6) in range(8)
    assert few[0].test_loss != full[0].test_loss
    assert few[-1].test_loss == full[-1].test_loss
    assert [row.train_loss for row in few] == [row.train_loss for row in full]


def test_learning_rates_follow_the_schedule_and_progress_counts_every_step():
    counted = []
    runs = runs_of(
        optimizer={"schedule": {"name": "linear", "final": 0.5}},
        train={"steps": 20, "eval_every": 10},
        sweep={"optimizer.lr": [0.1, 0.2, 1e9]},
    )
    trained = Trained(runs, advance=counted.append)
    assert sum(counted) == 60  # steps after a divergence count as settled
    rows = trained.rows[runs[1].run_id]
    assert [row.lr for row in rows] == pytest.approx([0.2, 0.2 * (1 - 0.5 * 9 / 19), 0.1])
    assert trained.ends[runs[2].run_id].status == "diverged"


def test_each_lane_has_its_own_hyper_parameters():
    """Momentum, weight decay, dropout rate and initial gain differ within one stack."""
    runs = runs_of(
        model={"dropout": {"rate": 0.1, "placement": "classifier"}},
        train={"steps": 15, "eval_every": 5},
        sweep={
            "optimizer.momentum": [0.0, 0.9],
            "optimizer.weight_decay": [0.0, 0.1],
            "model.dropout.rate": [0.1, 0.5],
            "model.init.gain": [1.0, 2.0],
        },
    )
    assert len(runs) == 16
    together = Trained(runs)
    assert len({repr(rows[-1].train_loss) for rows in together.rows.values()}) == 16
    for run in (runs[0], runs[6], runs[15]):
        alone = Trained([run])
        ours, its = together.rows[run.run_id][-1], alone.rows[run.run_id][-1]
        assert (ours.train_loss, ours.test_loss) == (its.train_loss, its.test_loss)
