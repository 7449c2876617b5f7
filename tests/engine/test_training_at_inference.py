"""The training images that are measured at inference after the last step, against a plain loop in float64."""

from __future__ import annotations

import pytest
import torch
from helpers.engine import Trained, data_of, runs_of, trainer
from torch.func import functional_call

from normbench.seeding import generator

STATED = {"inference_train_loss": 0.0, "inference_train_accuracy": 0.0, "inference_train_images": 0}


def at_the_end(runs, executor="vectorized"):
    return Trained(runs, executor), trainer(runs, executor).executor.model.eval()


@pytest.mark.parametrize("executor", ["vectorized", "looped"])
@pytest.mark.parametrize(
    ("data", "norm", "images"),
    [
        ({}, "none", 40),
        ({"label_noise": 0.3, "augment": {"pad": 1}}, "batchnorm", 40),  # noisy labels, images as they are
        ({"train_size": 30, "test_size": 300}, "batchnorm", 30),  # fewer training images than test images
    ],
)
def test_it_is_the_mean_over_as_many_training_images_as_test_images(executor, data, norm, images):
    runs = runs_of(
        seeds=2,
        data=data,
        model={"norm": {"name": norm}},
        train={"steps": 12, "eval_every": 6, "dtype": "float64"},
    )
    trained, net = at_the_end(runs, executor)
    train = data_of(runs[0]).train
    chosen = torch.randperm(len(train), generator=generator(0, "inference_train"))[:images]
    if images == len(train):
        chosen = torch.arange(images)
    for run in runs:
        losses, right = [], []
        for index in chosen:
            logits = functional_call(net, trained.tensors[run.run_id], (train.x[index : index + 1],))[0]
            losses.append(float(torch.logsumexp(logits, 0) - logits[train.y[index]]))
            right.append(int(logits.argmax()) == int(train.y[index]))
        end = trained.ends[run.run_id]
        assert end.inference_train_images == images
        assert end.inference_train_loss == pytest.approx(sum(losses) / images, rel=1e-9)
        assert end.inference_train_accuracy == pytest.approx(sum(right) / images, rel=1e-12)
        assert end.inference_train_loss != trained.rows[run.run_id][-1].train_loss


def test_a_run_that_diverges_has_none_and_its_neighbor_keeps_its_own():
    plan = {"optimizer": {"lr": 0.1}, "sweep": {"optimizer.lr": [0.1, 1e30, 0.2]}}
    runs = runs_of(train={"steps": 30, "eval_every": 30}, **plan)
    trained = Trained(runs)
    alone = Trained(runs_of(train={"steps": 30, "eval_every": 30}, optimizer={"lr": 0.2}))
    first, diverged, last = (trained.ends[run.run_id] for run in runs)
    assert (diverged.status, diverged.inference_train_images) == ("diverged", None)
    assert diverged.inference_train_loss is diverged.inference_train_accuracy is None
    (same,) = alone.ends.values()
    assert {name: getattr(last, name) for name in STATED} == {name: getattr(same, name) for name in STATED}
    assert first.inference_train_loss != last.inference_train_loss
