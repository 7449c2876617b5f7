"""The shape of a data set's images, looked up once for each data set."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from normbench.data import DatasetInfo, dataset_info
from normbench.data.base import DataOptions


@lru_cache(maxsize=256)
def data_shape(data: DataOptions, data_dir: Path | None) -> DatasetInfo:
    """Return shapes, classes and sizes of a data set; no image is read."""
    return dataset_info(data, data_dir)
