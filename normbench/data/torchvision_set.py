"""The base of the data sets that torchvision downloads, checks and reads."""

from __future__ import annotations

import contextlib
import io
import socket
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from normbench.data.base import DataOptions, Progress, RawData, RawInfo, RawPart, Survey, as_part
from normbench.errors import DataError

TIMEOUT = 20.0  # seconds to wait for a server


class TorchvisionSet(DataOptions):
    """A data set that `torchvision.datasets.<source>` reads."""

    source: ClassVar[str]  # class in torchvision.datasets
    files: ClassVar[tuple[str, ...]]  # below the root
    shape: ClassVar[tuple[int, int, int]]
    class_count: ClassVar[int]
    train_images: ClassVar[int]
    test_images: ClassVar[int]

    def survey(self, root: Path) -> Survey:
        """Return the shapes and sizes, which are constant; the times of the files are the stamp."""
        paths = [root / file for file in self.files]
        stamp = " ".join(str(path.stat().st_mtime_ns) for path in paths if path.is_file())
        return Survey(RawInfo(self.shape, self.class_count, self.train_images, self.test_images), stamp)

    def location(self, root: Path) -> Path:
        """Return the folder of the files."""
        return root / Path(self.files[0]).parent

    def available(self, root: Path) -> bool:
        """Return whether every file exists."""
        return all((root / file).is_file() for file in self.files)

    def read(self, root: Path, survey: Survey, cache: Path, progress: Progress | None = None) -> RawData:
        """Return the data of the files, without the network."""
        try:
            parts, names = self._stored(root)
        except Exception as error:  # damaged files make torchvision raise all kinds of errors
            raise DataError(
                f"data: the files of '{self.name}' in {self.location(root)} cannot be read "
                f"({type(error).__name__}: {error}); expected {self.layout} below {root}; delete that folder "
                f"and fetch the set again"
            ) from error
        expected = [(self.train_images, *self.shape), (self.test_images, *self.shape)]
        if [tuple(part.x.shape) for part in parts] != expected:
            found = " and ".join(str(tuple(part.x.shape)) for part in parts)
            raise DataError(
                f"data: the files of '{self.name}' in {self.location(root)} contain images {found}; "
                f"expected {expected[0]} and {expected[1]}; delete that folder and fetch the set again"
            )
        return RawData(parts[0], parts[1], names)

    def download(self, root: Path) -> None:
        """Download and check the files by torchvision, or raise a `DataError` with what to do instead."""
        new = [path for path in (self.location(root), *self.location(root).parents) if not path.exists()]
        try:
            with _quiet_download():
                self._open(root, train=True, download=True)
        except Exception as error:  # no network, mirror, space or rights: the advice is the same
            for path in new:  # torchvision creates the folders first; remove the empty ones
                with contextlib.suppress(OSError):
                    path.rmdir()
            reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            raise DataError(
                f"data: '{self.name}' is not in {root} and could not be downloaded ({reason[0].strip()}); "
                f"expected {self.layout} below that folder. Copy the files there, name another folder "
                f"(data.root, --data-dir or $NORMBENCH_DATA), or use the embedded data set, which needs "
                f"neither files nor network: --set data.name=digits"
            ) from error

    def _stored(self, root: Path) -> tuple[list[RawPart], tuple[str, ...]]:
        """Return the parts as they are in the files, and the names of the classes."""
        train, test = self._open(root, train=True), self._open(root, train=False)
        return [self._part(train), self._part(test)], tuple(str(name) for name in train.classes)

    def _open(self, root: Path, train: bool, download: bool = False) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # numpy warns about old pickles of CIFAR, torch about read-only buffers
            import torchvision.datasets

            return getattr(torchvision.datasets, self.source)(str(root), train=train, download=download)

    @staticmethod
    def _part(source: Any) -> RawPart:
        x = source.data
        if isinstance(x, np.ndarray):  # CIFAR: (N, H, W, C)
            x = torch.from_numpy(x).permute(0, 3, 1, 2)
        return as_part(x, torch.as_tensor(source.targets))


@contextlib.contextmanager
def _quiet_download() -> Iterator[None]:
    """Limit the wait for a server, and keep the progress bar of torchvision out of logs."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            if not sys.stderr.isatty():
                stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            yield
    finally:
        socket.setdefaulttimeout(before)
