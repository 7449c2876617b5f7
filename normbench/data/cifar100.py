"""CIFAR-100."""

from __future__ import annotations

from typing import ClassVar, Literal

from normbench.data.torchvision_set import TorchvisionSet


class Cifar100(TorchvisionSet):
    """Photographs in 100 classes, 32x32 color, 50,000 + 10,000 images."""

    paper: ClassVar[str] = "Krizhevsky 2009, Learning multiple layers of features from tiny images"
    layout: ClassVar[str] = "cifar-100-python/{train,test,meta}"
    source: ClassVar[str] = "CIFAR100"
    files: ClassVar[tuple[str, ...]] = tuple(f"cifar-100-python/{file}" for file in ("train", "test", "meta"))
    shape: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    class_count: ClassVar[int] = 100
    train_images: ClassVar[int] = 50_000
    test_images: ClassVar[int] = 10_000

    name: Literal["cifar100"] = "cifar100"
