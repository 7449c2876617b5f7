"""CIFAR-10."""

from __future__ import annotations

from typing import ClassVar, Literal

from normbench.data.torchvision_set import TorchvisionSet

BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")


class Cifar10(TorchvisionSet):
    """Photographs in 10 classes, 32x32 color, 50,000 + 10,000 images."""

    paper: ClassVar[str] = "Krizhevsky 2009, Learning multiple layers of features from tiny images"
    layout: ClassVar[str] = "cifar-10-batches-py/{data_batch_1..5,test_batch,batches.meta}"
    source: ClassVar[str] = "CIFAR10"
    files: ClassVar[tuple[str, ...]] = tuple(f"cifar-10-batches-py/{file}" for file in BATCHES)
    shape: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    class_count: ClassVar[int] = 10
    train_images: ClassVar[int] = 50_000
    test_images: ClassVar[int] = 10_000

    name: Literal["cifar10"] = "cifar10"
