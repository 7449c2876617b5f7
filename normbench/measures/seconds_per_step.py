"""How long a step takes."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from normbench.measures.base import RunMeasure, Sample, known
from normbench.stats.intervals import Scale, Span


class SecondsPerStep(RunMeasure):
    """Seconds of a training step: the run's share of its stack's training time, by its steps.

    Evaluation is left out. On the log scale. It says as much as the machine was quiet, and depends on the
    executor and the size of the stack. (Bytes are not in the records, so there is no measure of them.)
    """

    name: Literal["seconds_per_step"] = "seconds_per_step"
    at: Literal["own_best", "equal_rates"] = Field("equal_rates", description="which rates are compared")

    scale: ClassVar[Scale] = "log"

    @property
    def label(self) -> str:
        """Return what is measured."""
        return "seconds per step"

    def reading(self, sample: Sample) -> Span | None:
        """Return the training time by the steps."""
        steps = sample.value("steps")
        return known(sample.value("train_seconds") / steps) if steps > 0 else None
