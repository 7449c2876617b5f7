"""A torch `Dataset` that is given from Python: its items, read once into tensors, and the options of it.

A file below the data root keeps the tensors under their hash. So workers and later sessions read the same
numbers, and the hash in the class makes other images other runs.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset
from torch.utils.data import Dataset as TorchDataset

from normbench.data.base import DataOptions, Progress, RawData, RawInfo, RawPart, Survey
from normbench.data.listing import write_aside
from normbench.data.prepare import stratified
from normbench.errors import DataError
from normbench.seeding import generator

FOLDER = "given"  # of the files, below the data root
TEST_SHARE = 5  # of a single data set, one item in 5 is a test item
LOOKS = 256  # items of each part that are read twice
_SPLIT = "test items of a single data set"  # place of the random numbers that choose them
_CHANNELS = (1, 3, 4)
_LAST = "each class from 0 on needs training items (`target_transform` can number them)"


@dataclass(frozen=True)
class Items:
    """All items of a data set as tensors.

    Attributes:
        train: images and labels to train on.
        test: images and labels to test on.
        class_names: a name for each class.
    """

    train: RawPart
    test: RawPart
    class_names: tuple[str, ...]

    @property
    def top(self) -> float | None:
        """Return the value that stands for 1.0: 255 of bytes (None, the default), 1 of all others."""
        return None if self.train.x.dtype == torch.uint8 else 1.0

    @cached_property
    def digest(self) -> str:
        """Return the hash of types, shapes and values."""
        found = hashlib.sha256()
        for name, array in self.arrays().items():
            found.update(json.dumps([name, array.dtype.str, array.shape]).encode())
            found.update(array.data if array.size else b"")
        return found.hexdigest()

    def _write(self, file: BinaryIO) -> None:
        found = self.arrays()
        np.savez(
            file,
            train_x=found["train_x"],
            train_y=found["train_y"],
            test_x=found["test_x"],
            test_y=found["test_y"],
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of the file, by name."""
        parts = {"train": self.train, "test": self.test}
        images = {f"{name}_x": part.x.contiguous().numpy() for name, part in parts.items()}
        return images | {f"{name}_y": part.y.numpy() for name, part in parts.items()}

    @classmethod
    def of_arrays(cls, found: Mapping[str, np.ndarray], class_names: tuple[str, ...]) -> Items:
        """Return the items of a file."""
        train, test = (
            RawPart(torch.from_numpy(found[f"{name}_x"]), torch.from_numpy(found[f"{name}_y"]))
            for name in ("train", "test")
        )
        return cls(train, test, class_names)

    def keep(self, root: Path) -> None:
        """Write the file below a data root, unless it is there.

        Raises:
            DataError: it cannot be written.
        """
        path = place(root, self.digest)
        if path.is_file():
            return
        try:
            write_aside(path, self._write)
        except OSError as error:
            raise DataError(
                f"{path}: cannot be written ({error.strerror or error}), and keeps the images of a data set "
                "from Python for workers and later sessions; name another folder (data_dir)"
            ) from error


def place(root: Path, digest: str) -> Path:
    """Return the file that keeps the items with this hash."""
    return root / FOLDER / f"{digest[:32]}.npz"


class TorchSet(DataOptions):
    """Base of the data sets that are given from Python.

    Class attributes:
        digest: hash of the items.
        input_shape: (C, H, W).
        sizes: number of training and of test items.
        class_names: a name for each class.
    """

    layout = "nothing (given from Python)"
    embedded = True

    digest: ClassVar[str] = ""
    input_shape: ClassVar[tuple[int, int, int]] = (0, 0, 0)
    sizes: ClassVar[tuple[int, int]] = (0, 0)
    class_names: ClassVar[tuple[str, ...]] = ()

    def survey(self, root: Path) -> Survey:
        """Return the shapes and sizes that were found when the items were read."""
        return Survey(RawInfo(self.input_shape, len(self.class_names), *self.sizes), self.digest)

    def read(self, root: Path, survey: Survey, cache: Path, progress: Progress | None = None) -> RawData:
        """Return the items of the file."""
        path, items = place(cache, self.digest), None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
                items = Items.of_arrays(found, self.class_names)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            pass
        if items is None or items.digest != self.digest:
            raise DataError(
                f"data '{self.name}': {path} should keep its images, and is missing or damaged; give the "
                "data set from Python once more, and the file is written again"
            )
        return RawData(items.train, items.test, items.class_names, items.top)


def is_given(value: Any) -> bool:
    """Return whether a value is a torch data set, a loader of one, or a pair of these."""
    parts = value if isinstance(value, tuple) and len(value) == 2 else (value,)
    return all(isinstance(one, (TorchDataset, DataLoader)) for one in parts)


def items_of(given: Any, name: str) -> Items:
    """Return the items of a data set, or of a pair (train, test).

    A fifth of a single data set, of each class alike and always the same, is for testing.

    Args:
        given: as `is_given` accepts it.
        name: for messages.

    Raises:
        DataError: the items are no images with labels that could be trained on, or differ when read again.
    """
    if isinstance(given, tuple):
        train, test = (
            RawPart(*_read(one, f"data '{name}', {what}"))
            for one, what in zip(given, ("train", "test"), strict=True)
        )
    else:
        x, y = _read(given, f"data '{name}'")
        labels = torch.unique(y, return_inverse=True)[1]
        chosen = torch.zeros(len(y), dtype=torch.bool)
        chosen[stratified(labels, max(1, len(y) // TEST_SHARE), generator(0, _SPLIT))] = True
        train, test = RawPart(x[~chosen], y[~chosen]), RawPart(x[chosen], y[chosen])
    if (train.x.shape[1:], train.x.dtype) != (test.x.shape[1:], test.x.dtype):
        raise DataError(
            f"data '{name}': the training items are {_kind(train.x[0])}, the test items "
            f"{_kind(test.x[0])}; they must be alike"
        )
    if train.x.dtype == torch.uint8 and int(train.x.max()) <= 1:
        raise DataError(
            f"data '{name}': all bytes are 0 or 1, and 255 stands for 1.0; give floats (`.float()`), or "
            "bytes up to 255"
        )
    known = torch.unique(train.y)
    if not torch.equal(known, torch.arange(len(known))):
        shown = ", ".join(map(str, known[:12].tolist())) + ", ..." * (len(known) > 12)
        raise DataError(
            f"data '{name}': the training labels are {shown}; expected 0 to {max(len(known) - 1, 1)}: {_LAST}"
        )
    if (strange := test.y[(test.y < 0) | (test.y >= len(known))]).numel():
        raise DataError(
            f"data '{name}': no training item has the label {int(strange[0])} of a test item; {_LAST}"
        )
    first = given[0] if isinstance(given, tuple) else given
    names = getattr(first, "classes", None)
    if not isinstance(names, (list, tuple)) or len(names) != len(known):
        names = range(len(known))
    return Items(train, test, tuple(map(str, names)))


def _read(dataset: Any, where: str) -> tuple[Tensor, Tensor]:
    """Return all items of a data set, x (N, C, H, W) and y (N,)."""
    if isinstance(dataset, DataLoader):
        raise DataError(f"{where}: found a DataLoader; give its data set (`.dataset`): batches are made here")
    if isinstance(dataset, IterableDataset):
        raise DataError(
            f"{where}: an IterableDataset has neither a length nor items by number; give a Dataset with "
            "`__len__` and `__getitem__`, such as a TensorDataset of all its items"
        )
    try:
        count = len(dataset)
    except (TypeError, NotImplementedError) as error:
        raise DataError(f"{where}: the data set has no length ({error}); give it `__len__`") from error
    if not count:
        raise DataError(f"{where}: the data set is empty")
    first, _ = _item(dataset, 0, where)
    x, y = first.new_empty((count, *first.shape)), torch.empty(count, dtype=torch.int64)
    for number in range(count):
        image, y[number] = _item(dataset, number, where)
        if image.shape != first.shape or image.dtype != first.dtype:
            raise DataError(
                f"{where}: item {number} is {_kind(image)}, item 0 {_kind(first)}; all items must be alike, "
                "so resize or crop them in the data set's transform"
            )
        x[number] = image
    for number in range(0, count, -(-count // LOOKS)):
        image, label = _item(dataset, number, where)
        if not _same(image, x[number]) or label != y[number]:
            raise DataError(
                f"{where}: item {number} has other values when it is read again, so its transform is random; "
                "each item is read once here: leave the random part out (`data.augment` changes the images "
                "at each step)"
            )
    return _stored(x), y


def _item(dataset: Any, number: int, where: str) -> tuple[Tensor, int]:
    """Return an item: an image (C, H, W) and its label."""
    try:
        item = dataset[number]
    except Exception as error:
        text = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise DataError(f"{where}: item {number} cannot be read: {text}") from error
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise DataError(f"{where}: item {number} is a {type(item).__name__}; expected a pair (image, label)")
    image, label = item
    if getattr(label, "ndim", None) == 0:
        label = label.item()  # of a tensor or a number of numpy
    if isinstance(label, bool) or not isinstance(label, Integral):
        raise DataError(
            f"{where}: item {number} has the label {str(label)[:40]} ({type(label).__name__}); expected a "
            "whole number from 0, the class"
        )
    return _image(image, f"{where}: item {number}"), int(label)


def _image(image: Any, where: str) -> Tensor:
    """Return an image of torch, numpy or Pillow as a tensor (C, H, W)."""
    pillow = hasattr(image, "getbands")
    if pillow and image.mode in ("P", "PA"):
        raise DataError(f"{where}: its pixels are numbers of a palette; convert it (`.convert('RGB')`)")
    if not (pillow or isinstance(image, (Tensor, np.ndarray))):
        raise DataError(
            f"{where}: its image is a {type(image).__name__}; expected a tensor, an array or a Pillow image"
        )
    try:
        x = image.detach().cpu() if isinstance(image, Tensor) else torch.from_numpy(np.array(image))
    except TypeError as error:
        raise DataError(f"{where}: its image is no array of numbers: {error}") from error
    if x.is_complex() or x.layout != torch.strided or not 1 <= x.dim() <= 3 or not x.numel():
        raise DataError(
            f"{where}: its image is {_kind(x)}; expected real numbers of the shape (C, H, W), (H, W) or (D,)"
        )
    if x.dim() == 3 and pillow:
        x = x.permute(2, 0, 1)
    elif x.dim() == 3 and x.shape[2] in _CHANNELS and min(x.shape[:2]) > max(_CHANNELS):
        raise DataError(
            f"{where}: its image has the shape {tuple(x.shape)}, which looks like (H, W, C); expected "
            "(C, H, W): `.permute(2, 0, 1)` of a tensor, `.transpose(2, 0, 1)` of an array"
        )
    while x.dim() < 3:
        x = x.unsqueeze(0)
    if x.dtype == torch.uint8 or x.dtype in (torch.float32, torch.float64):
        return x
    return x.float() if x.is_floating_point() or x.dtype == torch.bool else x.to(torch.int64)


def _stored(x: Tensor) -> Tensor:
    """Return whole numbers that are no bytes as floats that hold them exactly: they need not be images."""
    if x.dtype != torch.int64:
        return x
    return x.float() if torch.equal(x.float().to(torch.int64), x) else x.double()


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one, other) or torch.equal(one.nan_to_num(), other.nan_to_num())


def _kind(x: Tensor) -> str:
    return f"{str(x.dtype).removeprefix('torch.')} {tuple(x.shape)}"
