"""What all data sets share: their options, and the shapes of data before and after preparation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from normbench.data.augment import Augment
from normbench.data.root import data_root
from normbench.errors import DataError
from normbench.registry import Named

Progress = Callable[[int, int], None]  # (done, total), called from the loading thread
Folder = str | Path | None


@dataclass(frozen=True)
class RawPart:
    """Images as stored: x uint8 (N, C, H, W), y int64 (N,)."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class RawData:
    """A data set as stored, before any choice of the config; `top` is the value that means 1.0."""

    train: RawPart
    test: RawPart
    class_names: tuple[str, ...]
    top: int = 255


@dataclass(frozen=True)
class RawInfo:
    """What is known of a data set without reading its images: the full sizes of its two parts."""

    input_shape: tuple[int, int, int]  # (C, H, W)
    classes: int
    train: int
    test: int


@dataclass(frozen=True)
class Survey:
    """What a look at the files tells: shapes and sizes, and a stamp that changes when the files do."""

    info: RawInfo
    stamp: str = ""
    listing: Any = None  # of a folder of images: its files, so that `read` need not look again


@dataclass(frozen=True)
class Split:
    """One part, ready for training: x float (N, C, H, W), standardised; y int64 (N,)."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Dataset:
    """A data set as tensors on the device; `label_entropy` is in nats, of the training labels in use."""

    name: str
    train: Split
    val: Split | None
    test: Split
    classes: int
    class_names: tuple[str, ...]
    label_entropy: float

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Return (C, H, W)."""
        channels, height, width = self.train.x.shape[1:]
        return channels, height, width


class DataOptions(Named):
    """The options of every data set: the sizes of its parts, the batch, and how the inputs are scaled."""

    layout: ClassVar[str] = ""  # what lies where below the data root, for error messages
    embedded: ClassVar[bool] = False  # comes with an installed package: needs no files
    late: ClassVar[frozenset[str]] = frozenset({"zca_eps", "unequal_scales", "label_noise"})

    name: str
    train_size: int | None = Field(None, ge=1, description="training images, stratified; all if not given")
    val_size: int = Field(0, ge=0, description="validation images, taken out of the training part")
    test_size: int | None = Field(None, ge=1, description="test images, stratified; all if not given")
    batch_size: int = Field(
        60, ge=1, description="images in a step; an epoch's incomplete last batch is dropped"
    )
    standardize: Literal["none", "channel", "feature", "zca"] = Field(
        "channel",
        description="one mean and deviation for each channel, or for each pixel; or ZCA; none leaves [0, 1]",
    )
    zca_eps: float = Field(1e-3, gt=0, description="added to the variances of zca, of inputs in [0, 1]")
    unequal_scales: float = Field(
        0.0, ge=0, le=10, description="multiply each feature by a fixed 10^u, u uniform in +- this"
    )
    label_noise: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of training labels replaced by another class, chosen by split_seed",
    )
    binarize: bool = Field(False, description="inputs above 0.5 become 1, others 0, before standardize")
    split_seed: int = Field(0, ge=0, description="chooses the images of train_size, val_size and test_size")
    augment: Augment = Field(Augment(), description="changes of the training images, drawn anew at each step")
    root: str | None = Field(None, min_length=1, description="folder of the data; not part of a run's id")

    def folder(self, data_dir: Folder = None) -> Path:
        """Return the data root: `data.root`, else `data_dir`, else `$NORMBENCH_DATA`, else the cache."""
        return data_root(self.root, data_dir)

    def identity(self, data_dir: Folder = None) -> dict[str, Any]:
        """Return what a run's id hashes of the data: every option except the root."""
        return {key: value for key, value in self.hashed().items() if key != "root"}

    def location(self, root: Path) -> Path:
        """Return the folder below the root that holds this set's files."""
        return root

    def available(self, root: Path) -> bool:
        """Say whether the files are there, without reading them."""
        return True

    def survey(self, root: Path) -> Survey:
        """Return shapes and sizes without reading images; the files of known sets need not be there."""
        raise NotImplementedError

    def read(self, root: Path, survey: Survey, cache: Path, progress: Progress | None = None) -> RawData:
        """Read the files (no network) into tensors; `cache` is a data root for what is worth keeping."""
        raise NotImplementedError

    def download(self, root: Path) -> None:
        """Bring the files to the root; a set that cannot raises a `DataError`."""
        raise DataError(f"data: '{self.name}' cannot be downloaded; expected {self.layout} below {root}")


def as_part(x: Tensor, y: Tensor) -> RawPart:
    """Return contiguous uint8 images (N, C, H, W) from (N, H, W) or (N, C, H, W), and int64 labels."""
    if x.ndim == 3:
        x = x.unsqueeze(1)
    return RawPart(x.to(torch.uint8).contiguous(), y.to(torch.int64))
