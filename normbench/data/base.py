"""The base of all data sets: their options, and the data before and after preparation."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor

from normbench.data.augment import Augment
from normbench.data.root import data_root
from normbench.errors import DataError
from normbench.registry import Named

Progress = Callable[[int, int], None]  # called with (done, total) from the loading thread
Folder = str | Path | None


@dataclass(frozen=True)
class RawPart:
    """One part as stored: images x (N, C, H, W), uint8 or floats; labels y int64 (N,), from 0."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class RawData:
    """A data set as stored, before any option applies.

    Attributes:
        train: images and labels to train on.
        test: images and labels to test on.
        class_names: a name for each class.
        top: the value that stands for 1.0. None: 255, for whole numbers from 0 to 255; others must say it.
    """

    train: RawPart
    test: RawPart
    class_names: tuple[str, ...]
    top: float | None = None

    @property
    def one(self) -> float:
        """Return the value that stands for 1.0, the default included."""
        return 255 if self.top is None else self.top


@dataclass(frozen=True)
class RawInfo:
    """Shapes and full sizes of a data set as stored, known without reading its images."""

    input_shape: tuple[int, int, int]  # (C, H, W)
    classes: int
    train: int
    test: int


@dataclass(frozen=True)
class Survey:
    """What listing the files tells: shapes and sizes, and a stamp that changes when the files change."""

    info: RawInfo
    stamp: str = ""
    listing: Any = None  # files of a folder of images, so that `read` need not list them again


@dataclass(frozen=True)
class Split:
    """One part, ready for training: x float (N, C, H, W), scaled; y int64 (N,)."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Dataset:
    """A data set as tensors on the device; `label_entropy` is that of the training labels, in nats."""

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
    """Base of all data sets: sizes of the parts, batch size, and scaling of the inputs.

    Class attributes:
        layout: expected files below the data root, for error messages.
        embedded: whether the data comes with an installed package and needs no files.
    """

    layout: ClassVar[str] = ""
    embedded: ClassVar[bool] = False
    late: ClassVar[frozenset[str]] = frozenset({"zca_eps", "unequal_scales", "label_noise"})

    name: str
    train_size: int | None = Field(
        None, ge=1, description="number of training images, stratified; all if unset"
    )
    val_size: int = Field(0, ge=0, description="number of validation images, taken from the training part")
    test_size: int | None = Field(None, ge=1, description="number of test images, stratified; all if unset")
    batch_size: int = Field(
        60, ge=1, description="images per step; the incomplete last batch of an epoch is dropped"
    )
    standardize: Literal["none", "channel", "feature", "zca"] = Field(
        "channel",
        description="mean and standard deviation per channel or per pixel (feature), or ZCA; none: [0, 1]",
    )
    zca_eps: float = Field(1e-3, gt=0, description="added to the variances for zca, for inputs in [0, 1]")
    unequal_scales: float = Field(
        0.0, ge=0, le=10, description="multiply each feature by a fixed 10^u, u uniform in +- this value"
    )
    label_noise: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the training labels that are replaced by another class, chosen by split_seed",
    )
    binarize: bool = Field(False, description="before scaling, set inputs above 0.5 to 1 and others to 0")
    split_seed: Annotated[int, Field(ge=0)] | Literal["seed"] = Field(
        0,
        description="seed of the choice of images for train_size, val_size and test_size and of label noise; "
        "seed: each run's own seed, so that the choice of the data is among what differs between seeds",
    )
    augment: Augment = Field(Augment(), description="random changes of the training images at each step")
    root: str | None = Field(None, min_length=1, description="folder of the data; not part of run ids")

    @field_validator("split_seed", mode="before")
    @classmethod
    def _number_or_seed(cls, value: Any) -> Any:
        if value != "seed" and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            mend = "; lists go under `sweep`" if isinstance(value, list) else ""
            found = json.dumps(value, default=str)
            raise ValueError(f"found {found}; allowed: a number from 0 on, or seed{mend}")
        return value

    @property
    def differs_by_seed(self) -> bool:
        """Return whether runs of different seeds have different images, so that no stack holds both."""
        return self.split_seed == "seed"

    def for_seed(self, seed: int) -> DataOptions:
        """Return the options of the data set that a run with this seed trains on."""
        return self.model_copy(update={"split_seed": seed}) if self.differs_by_seed else self

    def folder(self, data_dir: Folder = None) -> Path:
        """Return the first that is set: `data.root`, `data_dir`, `$NORMBENCH_DATA`, the cache folder."""
        return data_root(self.root, data_dir)

    def identity(self, data_dir: Folder = None) -> dict[str, Any]:
        """Return what run ids hash: every option except the root."""
        return {key: value for key, value in self.hashed().items() if key != "root"}

    def location(self, root: Path) -> Path:
        """Return the folder below the root that holds the files of this set."""
        return root

    def available(self, root: Path) -> bool:
        """Return whether the files exist; does not read them."""
        return True

    def survey(self, root: Path) -> Survey:
        """Return shapes and sizes without reading images; files of known sets need not exist."""
        raise NotImplementedError

    def read(self, root: Path, survey: Survey, cache: Path, progress: Progress | None = None) -> RawData:
        """Return the data of the files. Uses no network.

        Args:
            root: data root.
            survey: result of `survey`.
            cache: data root for files worth keeping, such as decoded images.
            progress: called with (done, total).

        Raises:
            DataError: files are damaged or not as expected.
        """
        raise NotImplementedError

    def download(self, root: Path) -> None:
        """Download the files to the root, or raise a `DataError`."""
        raise DataError(f"data: '{self.name}' cannot be downloaded; expected {self.layout} below {root}")


def as_part(x: Tensor, y: Tensor) -> RawPart:
    """Return images and labels in the types of `RawPart`, without changing a value.

    What is no image or no label stays as it is, and loading the data set refuses it with a sentence.

    Args:
        x: (N, H, W) or (N, C, H, W). Whole numbers that fit into a byte become uint8. Others, such as images
            of 16 bits, become float32, or float64 if float32 would round them. Floats stay floats.
        y: labels (N,), of any integer type.
    """
    if not (isinstance(x, Tensor) and isinstance(y, Tensor)):
        return RawPart(x, y)
    if x.ndim == 3:
        x = x.unsqueeze(1)
    if x.dtype in (torch.float16, torch.bfloat16):
        x = x.float()
    elif _is_whole(x) or x.dtype == torch.bool:
        x = _smallest(x)
    return RawPart(x.contiguous(), y.to(torch.int64) if _is_whole(y) else y)


def _is_whole(x: Tensor) -> bool:
    return not (x.is_floating_point() or x.is_complex() or x.dtype == torch.bool)


def _smallest(x: Tensor) -> Tensor:
    """Return whole numbers as uint8, float32 or float64: the first that holds all of them exactly."""
    if x.dtype == torch.uint8 or not x.numel():
        return x.to(torch.uint8)
    wide = x.double()  # torch has no minimum of uint16
    low, high = float(wide.min()), float(wide.max())
    if low >= 0 and high <= 255:
        return x.to(torch.uint8)
    return wide.float() if max(-low, high) <= 2**24 else wide
