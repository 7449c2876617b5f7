"""Time of a training step."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from normbench.measures.base import RunMeasure, Sample, known
from normbench.stats.intervals import Scale, Span


class SecondsPerStep(RunMeasure):
    """Seconds of a training step: the run's share of its stack's training time, divided by its steps.

    Evaluation does not count. The scale is logarithmic. The number depends on what else the machine does, on
    the executor and on the size of the stack. The records have no memory use, so there is no measure of it.
    """

    name: Literal["seconds_per_step"] = "seconds_per_step"
    at: Literal["own_best", "equal_rates"] = Field("equal_rates", description="which rates are compared")

    scale: ClassVar[Scale] = "log"

    @property
    def label(self) -> str:
        """Return what is measured."""
        return "seconds per step"

    def reading(self, sample: Sample) -> Span | None:
        """Return the training time divided by the steps."""
        steps = sample.value("steps")
        return known(sample.value("train_seconds") / steps) if steps > 0 else None
