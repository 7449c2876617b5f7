"""Difference of the results on training and test data."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from normbench.measures.base import Comparison, RunMeasure, Sample, known
from normbench.stats.intervals import Span


class GeneralizationGap(RunMeasure):
    """Generalization gap at the end: training minus test accuracy, or test minus training loss (nats).

    Training values are means over the batches since the previous evaluation, in training mode (with dropout
    and batch statistics), so a gap can be negative. A diverged run has no gap.
    """

    name: Literal["generalisation_gap"] = "generalisation_gap"
    what: Literal["accuracy", "loss"] = Field("accuracy", description="the quantity that is compared")

    compares: ClassVar[tuple[Comparison, ...]] = ("difference",)
    absent: ClassVar[str] = "diverged or have no value in the records"

    @property
    def label(self) -> str:
        """Return what is measured."""
        order = "training minus test" if self.what == "accuracy" else "test minus training"
        return f"{order} {self.what}"

    def reading(self, sample: Sample) -> Span | None:
        """Return the difference at the last evaluation."""
        if sample.diverged:
            return None
        train, test = (sample.value(f"final_{part}_{self.what}") for part in ("train", "test"))
        return known(train - test if self.what == "accuracy" else test - train)
