"""`train.eval_batch_size`: with batch statistics at inference, they are those of this many images."""

from __future__ import annotations

import pytest
import torch
from helpers.engine import CNN, Trained, data_of, plan_of, runs_of
from torch.nn import functional as F

SIZES = [1, 2, 7, 40, 1000]


def trained(model, statistics, executor="vectorized", **train):
    norm = {"name": "batchnorm", "inference": statistics}
    runs = runs_of(
        seeds=2,
        model={**model, "norm": norm},
        train={"steps": 6, "eval_every": 6, "dtype": "float64", **train},
    )
    return runs, Trained(runs, executor)


def by_hand(tensors, part, rows, images):
    """Return loss and accuracy of a net of two layers whose statistics are those of `rows` images each."""
    losses, right = [], []
    for start in range(0, len(part), rows):
        x, y = part.x[start : start + rows], part.y[start : start + rows]
        h = x if images else x.flatten(1)
        for index in range(2):
            weight = tensors[f"hidden.{index}.layer.weight"]
            h = F.conv2d(h, weight, padding=1) if images else h @ weight.T
            dims = (0, 2, 3) if images else (0,)
            mean, var = h.mean(dims, keepdim=True), h.var(dims, keepdim=True, correction=0)
            gain, offset = (tensors[f"hidden.{index}.norm.{name}"] for name in ("weight", "bias"))
            shape = (1, -1, *[1] * (h.dim() - 2))
            h = ((h - mean) / (var + 1e-5).sqrt() * gain.view(shape) + offset.view(shape)).relu()
        if images:  # the classifier of a cnn sees means
            h = F.max_pool2d(h, 2).mean((2, 3))
        logits = h.flatten(1) @ tensors["classifier.weight"].T + tensors["classifier.bias"]
        losses += F.cross_entropy(logits, y, reduction="none").tolist()
        right += (logits.argmax(1) == y).tolist()
    return sum(losses) / len(losses), sum(right) / len(right)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("executor", ["vectorized", "looped"])
def test_statistics_are_those_of_the_batch(size, executor):
    runs, found = trained({}, "batch", executor, eval_batch_size=size)
    for run in runs:
        last, test = found.rows[run.run_id][-1], data_of(run).test
        loss, accuracy = by_hand(found.tensors[run.run_id], test, size, images=False)
        assert (last.test_loss, last.test_accuracy) == pytest.approx((loss, accuracy), rel=1e-9)
        if size == 1:  # nothing of the image is left: each image gets the same answer
            shares = [int((test.y == label).sum()) / len(test) for label in range(10)]
            assert any(accuracy == pytest.approx(share) for share in shares)


@pytest.mark.parametrize("size", [1, 7])
def test_statistics_of_convolutions_are_those_of_the_pixels_too(size):
    runs, found = trained(CNN, "batch", "looped", eval_batch_size=size)
    loss, accuracy = by_hand(found.tensors[runs[0].run_id], data_of(runs[0]).test, size, images=True)
    last = found.rows[runs[0].run_id][-1]
    assert (last.test_loss, last.test_accuracy) == pytest.approx((loss, accuracy), rel=1e-9)


def test_neither_the_training_nor_running_statistics_depend_on_it():
    runs, usual = trained({}, "running")
    for size in SIZES:
        others, found = trained({}, "running", eval_batch_size=size)
        for run, other in zip(runs, others, strict=True):
            one, two = usual.rows[run.run_id][-1], found.rows[other.run_id][-1]
            assert (two.test_loss, two.test_accuracy) == pytest.approx(
                (one.test_loss, one.test_accuracy), rel=1e-9
            )
            assert two.train_loss == one.train_loss
            for name, value in usual.tensors[run.run_id].items():
                assert torch.equal(found.tensors[other.run_id][name], value)


def test_each_size_is_a_run_of_its_own_and_without_it_ids_stay():
    def ids(**train):
        return [run.run_id for run in plan_of(seeds=1, train=train).runs]

    assert ids() == ids(eval_batch_size=None)
    assert len({*ids(), *ids(eval_batch_size=1), *ids(eval_batch_size=256)}) == 3
