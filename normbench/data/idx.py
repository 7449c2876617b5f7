"""Data sets in the format of MNIST: `torchvision` downloads them, their files are read here.

Importing torchvision takes more than a second, which is most of the time until a training on MNIST begins.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from normbench.data.base import RawPart, as_part
from normbench.data.torchvision_set import TorchvisionSet

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_BYTES = 8  # the code of unsigned bytes, in the third byte of a file


class IdxSet(TorchvisionSet):
    """A data set whose `files` are those of `FILES`: images and labels of the training, then of the test."""

    names: ClassVar[tuple[str, ...]]  # of the classes

    def _stored(self, root: Path) -> tuple[list[RawPart], tuple[str, ...]]:
        images, labels, test_images, test_labels = (read_idx(root / file) for file in self.files)
        return [as_part(images, labels), as_part(test_images, test_labels)], self.names


def read_idx(path: Path) -> Tensor:
    """Return the bytes of a file in the IDX format as a tensor (uint8).

    The head is two zero bytes, the type, the number of dimensions, and their sizes as big-endian integers.

    Raises:
        ValueError: the file has another head, or more or fewer bytes than its head says.
    """
    data = path.read_bytes()
    if len(data) < 4 or data[:3] != bytes((0, 0, _BYTES)):
        raise ValueError(f"{path.name} does not begin as an IDX file of bytes")
    start = 4 + 4 * data[3]
    if len(data) < start:
        raise ValueError(f"{path.name} ends within its head")
    shape = struct.unpack(f">{data[3]}I", data[4:start])
    if len(data) - start != math.prod(shape):
        raise ValueError(
            f"{path.name} has {len(data) - start:,} bytes of data, and its head says {math.prod(shape):,}"
        )
    return torch.frombuffer(bytearray(data), dtype=torch.uint8, offset=start).view(shape)
