"""Data sets as tensors on the device, seeded batches, and augmentation.

To add a data set, write its file in this folder (a subclass of `DataOptions`) and add it to `DATASETS`.
"""

from __future__ import annotations

from pathlib import Path

from normbench.data.augment import Augment, Draws, augment_batch, draw
from normbench.data.base import (
    DataOptions,
    Dataset,
    Folder,
    RawData,
    RawInfo,
    RawPart,
    Split,
    Survey,
    as_part,
)
from normbench.data.batches import Batches, batch_order
from normbench.data.cifar10 import Cifar10
from normbench.data.cifar100 import Cifar100
from normbench.data.digits import Digits
from normbench.data.fashion_mnist import FashionMnist
from normbench.data.image_folder import ImageFolder
from normbench.data.listing import listed_once
from normbench.data.loading import (
    DatasetInfo,
    Description,
    available,
    clear,
    dataset_info,
    describe,
    fetch_set,
    images_of,
    load,
)
from normbench.data.mnist import Mnist
from normbench.data.root import data_root
from normbench.registry import Registry

__all__ = [
    "DATASETS",
    "Augment",
    "Batches",
    "DataOptions",
    "Dataset",
    "DatasetInfo",
    "Description",
    "Draws",
    "RawData",
    "RawInfo",
    "RawPart",
    "Split",
    "Survey",
    "as_part",
    "augment_batch",
    "available",
    "batch_order",
    "clear",
    "data_root",
    "dataset_info",
    "describe_all",
    "draw",
    "fetch",
    "images_of",
    "listed_once",
    "load",
]

DATASETS: Registry[DataOptions] = Registry(
    "data set", Digits, Mnist, FashionMnist, Cifar10, Cifar100, ImageFolder
)


def describe_all(data_dir: Folder = None) -> list[Description]:
    """Return for each data set its name, summary, availability, place and size on disk."""
    return [describe(cls, data_dir) for cls in DATASETS.classes()]


def fetch(name: str, data_dir: Folder = None) -> Path:
    """Download a data set if its files are missing, and return their folder."""
    return fetch_set(DATASETS[name], data_dir)
