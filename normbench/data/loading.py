"""Load data sets by their options, once per process, and describe them without loading."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

import torch

from normbench.data.base import DataOptions, Dataset, Folder, Progress
from normbench.data.checks import asked, raw_data, surveyed
from normbench.data.prepare import part_sizes, prepare
from normbench.data.root import data_root
from normbench.errors import DataError

CACHE_BYTES = 2**30  # limit of the loaded sets; the latest one always stays

_cache: OrderedDict[Hashable, Dataset] = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True)
class DatasetInfo:
    """Shapes of a data set and the sizes of the parts in use, known without reading images."""

    input_shape: tuple[int, int, int]  # (C, H, W)
    classes: int
    train: int
    val: int
    test: int
    available: bool  # whether the files exist; if not, `load` downloads them
    where: Path


def available(options: DataOptions, data_dir: Folder = None) -> bool:
    """Return whether the files exist, so that `load` needs no network."""
    return bool(asked(options, "available", options.folder(data_dir)))


def dataset_info(options: DataOptions, data_dir: Folder = None) -> DatasetInfo:
    """Return shapes and sizes, or raise a `DataError` if the options ask for too many images."""
    root = options.folder(data_dir)
    info = surveyed(options, root).info
    sizes = part_sizes(options, info)
    return DatasetInfo(
        info.input_shape,
        info.classes,
        sizes.train,
        sizes.val,
        sizes.test,
        asked(options, "available", root),
        asked(options, "location", root),
    )


def load(
    options: DataOptions,
    data_dir: Folder = None,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> Dataset:
    """Return a data set as tensors on the device. Equal options share one copy per process.

    Missing files are downloaded if the data set allows it. It never falls back to another data set.

    Args:
        options: the data set and its options.
        data_dir: data root, unless the options name one.
        dtype: type of the images.
        device: device of the tensors.
        progress: called with (done, total) while files are read.

    Raises:
        DataError: the files are missing or damaged, or the options ask for too many images.
    """
    root = options.folder(data_dir)
    with _lock:
        if not asked(options, "available", root):
            asked(options, "download", root)
        survey = surveyed(options, root)
        part_sizes(options, survey.info)  # check the sizes first: reading takes long
        key = (
            images_of(options).model_copy(update={"root": None}),
            str(root.absolute()),
            survey.stamp,
            dtype,
            str(device),
        )
        if key not in _cache:
            raw = raw_data(options, root, survey, data_root(None, data_dir), progress)
            _cache[key] = prepare(raw, options, dtype, device)
        _cache.move_to_end(key)
        while len(_cache) > 1 and sum(map(_bytes, _cache.values())) > CACHE_BYTES:
            _cache.popitem(last=False)
        return _cache[key]


def images_of(options: DataOptions) -> DataOptions:
    """Return the options without what leaves the images as they are; equal ones have the same images."""
    return options.model_copy(update={"batch_size": 1, "augment": type(options.augment)()})


def clear() -> None:
    """Remove all data sets from the memory of this process."""
    with _lock:
        _cache.clear()


def _bytes(dataset: Dataset) -> int:
    parts = [dataset.train, dataset.test] + ([dataset.val] if dataset.val else [])
    return sum(part.x.nbytes + part.y.nbytes for part in parts)


@dataclass(frozen=True)
class Description:
    """One row of `normbench data`."""

    name: str
    summary: str
    available: bool
    where: str
    layout: str
    size_bytes: int  # on disk; 0 for missing and for embedded sets


def describe(cls: type[DataOptions], data_dir: Folder = None) -> Description:
    """Return the availability, place and size on disk of a data set."""
    options = cls.model_validate({"name": cls.key()})
    root = options.folder(data_dir)
    if options.embedded:
        return Description(cls.key(), cls.summary(), True, "embedded", cls.layout, 0)
    there, where = asked(options, "available", root), asked(options, "location", root)
    size = sum(path.stat().st_size for path in where.rglob("*") if path.is_file()) if there else 0
    return Description(cls.key(), cls.summary(), there, str(where), cls.layout, size)


def fetch_set(cls: type[DataOptions], data_dir: Folder = None) -> Path:
    """Download the files if they are missing, and return their folder."""
    options = cls.model_validate({"name": cls.key()})
    root = options.folder(data_dir)
    if not asked(options, "available", root):
        asked(options, "download", root)
        if not asked(options, "available", root):
            raise DataError(
                f"data: '{options.name}' was downloaded to {root}, but its files are not where they are "
                f"expected: {cls.layout}"
            )
    return Path(asked(options, "location", root))
