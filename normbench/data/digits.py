"""The embedded data set, which needs no files and no network."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import torch

from normbench import seeding
from normbench.data.base import DataOptions, Progress, RawData, RawInfo, Survey, as_part
from normbench.data.prepare import stratified

TEST = 360  # of 1,797, about 20 %; always the same images


class Digits(DataOptions):
    """Handwritten digits, 8x8 grayscale, 1,437 + 360 images; embedded in scikit-learn.

    scikit-learn has no test part. Here it is a stratified choice of 360 images, the same for every
    `split_seed`. They happen to be easier than others: validation images give some points less.
    """

    paper: ClassVar[str] = "Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits (UCI)"
    layout: ClassVar[str] = "nothing (embedded in scikit-learn)"
    embedded: ClassVar[bool] = True

    name: Literal["digits"] = "digits"

    def survey(self, root: Path) -> Survey:
        """Return the shapes and sizes, which are constant."""
        return Survey(RawInfo((1, 8, 8), 10, 1797 - TEST, TEST))

    def read(self, root: Path, survey: Survey, cache: Path, progress: Progress | None = None) -> RawData:
        """Return the copy of scikit-learn, with values 0..16."""
        from sklearn.datasets import load_digits

        bunch = load_digits()
        x = torch.from_numpy(bunch.images).to(torch.uint8)  # (1797, 8, 8)
        y = torch.from_numpy(bunch.target).to(torch.int64)
        test = stratified(y, TEST, seeding.generator(0, "digits", "test"))
        train = torch.ones(len(y), dtype=torch.bool)
        train[test] = False
        names = tuple(str(name) for name in bunch.target_names)
        return RawData(as_part(x[train], y[train]), as_part(x[test], y[test]), names, top=16)
