"""Difference of the results on training and test data."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from normbench.measures.base import Comparison, RunMeasure, Sample, known
from normbench.stats.intervals import Span


class GeneralizationGap(RunMeasure):
    """Generalization gap at the end: training minus test accuracy, or test minus training loss (nats).

    Both are measured at inference after the last step: on as many training images as there are test images,
    or on all if these are fewer. They are not augmented and have the labels of the training. A diverged run
    has no gap. Records of version 0.2 and older lack the training values, so that their runs have none.

    With `training: batches`, the training values are means over the batches since the previous evaluation, in
    training mode: with dropout, with batch statistics, and with earlier weights. Such a gap can be negative.
    """

    name: Literal["generalisation_gap"] = "generalisation_gap"
    what: Literal["accuracy", "loss"] = Field("accuracy", description="the quantity that is compared")
    training: Literal["inference", "batches"] = Field(
        "inference",
        description="inference: training images as the test images are measured; batches: the last training "
        "batches in training mode, which records of version 0.2 have, too",
    )

    compares: ClassVar[tuple[Comparison, ...]] = ("difference",)
    absent: ClassVar[str] = (
        "diverged, or have no training values at inference (measured after the last step alone, and not by "
        "version 0.2 and older; 'training: batches' takes those of the training batches)"
    )

    @property
    def label(self) -> str:
        """Return what is measured."""
        order = "training minus test" if self.what == "accuracy" else "test minus training"
        return f"{order} {self.what}{' of the last batches' if self.training == 'batches' else ''}"

    @property
    def is_share(self) -> bool:
        """Return whether it is the gap of the accuracy."""
        return self.what == "accuracy"

    def reading(self, sample: Sample) -> Span | None:
        """Return the difference after the last step."""
        if sample.diverged:
            return None
        form = "inference" if self.training == "inference" else "final"
        train, test = sample.value(f"{form}_train_{self.what}"), sample.value(f"final_test_{self.what}")
        return known(train - test if self.what == "accuracy" else test - train)
