"""Accuracy and loss at the end of training."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import Field

from normbench.measures.base import Part, RunMeasure, Sample, known
from normbench.stats.intervals import Scale, Span


class FinalAccuracy(RunMeasure):
    """Final accuracy: the share of images that are classified correctly at the last evaluation.

    A diverged run counts as chance (1 in 10 for ten equally frequent classes), as a stuck run does.
    """

    name: Literal["final_accuracy"] = "final_accuracy"
    part: Part = Field("test", description="of which part of the data")

    @property
    def label(self) -> str:
        """Return what is measured."""
        return f"final {self.part} accuracy"

    @property
    def is_share(self) -> bool:
        """Return True: an accuracy is a share."""
        return True

    def reading(self, sample: Sample) -> Span | None:
        """Return the last accuracy."""
        return known(sample.chance if sample.diverged else sample.value(f"final_{self.part}_accuracy"))


class FinalLoss(RunMeasure):
    """Final loss (nats) at the last evaluation, on the log scale; infinite for a diverged run."""

    name: Literal["final_loss"] = "final_loss"
    part: Part = Field("test", description="of which part of the data")

    scale: ClassVar[Scale] = "log"

    @property
    def label(self) -> str:
        """Return what is measured."""
        return f"final {self.part} loss"

    def reading(self, sample: Sample) -> Span | None:
        """Return the last loss."""
        return known(math.inf if sample.diverged else sample.value(f"final_{self.part}_loss"))
