"""Training time up to a target."""

from __future__ import annotations

from typing import Literal

from normbench.measures.base import Sample
from normbench.measures.steps_to_target import StepsToTarget
from normbench.stats.intervals import Span


class SecondsToTarget(StepsToTarget):
    """Training seconds to a target: `steps_to_target` times the run's seconds of a training step.

    Evaluation does not count. As with `seconds_per_step`, the number depends on the machine, the executor and
    the size of the stack. Seeds are compared as for `steps_to_target`.
    """

    name: Literal["seconds_to_target"] = "seconds_to_target"  # type: ignore[assignment]

    @property
    def label(self) -> str:
        """Return what is measured, with the target."""
        return super().label.replace("steps", "seconds", 1)

    def reading(self, sample: Sample) -> Span | None:
        """Return the span of seconds in which the target is reached."""
        found, steps, seconds = super().reading(sample), sample.value("steps"), sample.value("train_seconds")
        if found is None or not steps > 0 or not seconds > 0:
            return None
        each = seconds / steps
        return Span(found.low * each, found.high * each, found.estimate * each)
