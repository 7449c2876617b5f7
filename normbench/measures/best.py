"""The best accuracy and loss of a run at any evaluation."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from normbench.measures.base import Part, RunMeasure, Sample, known
from normbench.stats.intervals import Scale, Span


class BestAccuracy(RunMeasure):
    """Best accuracy: the highest of all evaluations; for a diverged run, of those before it diverged."""

    name: Literal["best_accuracy"] = "best_accuracy"
    part: Part = Field("test", description="of which part of the data")

    @property
    def label(self) -> str:
        """Return what is measured."""
        return f"best {self.part} accuracy"

    @property
    def is_share(self) -> bool:
        """Return True: an accuracy is a share."""
        return True

    def reading(self, sample: Sample) -> Span | None:
        """Return the highest accuracy."""
        return known(sample.value(f"best_{self.part}_accuracy"))


class BestLoss(RunMeasure):
    """Best loss (nats): the lowest of all evaluations before any divergence, on the log scale."""

    name: Literal["best_loss"] = "best_loss"
    part: Part = Field("test", description="of which part of the data")

    scale: ClassVar[Scale] = "log"

    @property
    def label(self) -> str:
        """Return what is measured."""
        return f"best {self.part} loss"

    def reading(self, sample: Sample) -> Span | None:
        """Return the lowest loss."""
        return known(sample.value(f"best_{self.part}_loss"))
