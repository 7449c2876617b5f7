"""The work's images as tensors, standardised by channel."""

from __future__ import annotations

from torch import Tensor
from work import Work, options_of_cifar

from normbench.data import DATASETS, load


def section(work: Work) -> dict[str, object]:
    """Return the data section of a config."""
    if work.data == "mnist":
        return {"name": "mnist", "batch_size": work.batch}
    return {**options_of_cifar(), "train_size": 10000, "test_size": 2000, "batch_size": work.batch}


def tensors(work: Work) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return images and labels for training and test."""
    options = section(work)
    data = load(DATASETS[str(options["name"])](**options))
    return data.train.x, data.train.y, data.test.x, data.test.y
