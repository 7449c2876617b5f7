"""Number of steps up to a target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from normbench.measures.base import Comparison, Part, Reads, RunMeasure, Sample
from normbench.stats.intervals import Estimator, Scale, Span


class StepsToTarget(RunMeasure):
    """Steps to a target: the first evaluation at which accuracy is at least, or loss at most, the target.

    The target is reached between the previous evaluation and this one. A run that does not reach it counts
    as infinite: a finished run needs more than its steps, a diverged run never reaches it. Seeds are compared
    on the log scale, by Wilcoxon's signed rank if all reach the target, by the median if not.
    """

    name: Literal["steps_to_target"] = "steps_to_target"
    part: Part = Field("test", description="of which part of the data")
    what: Literal["accuracy", "loss"] = Field("accuracy", description="the quantity that has a target")
    target: float | None = Field(None, gt=0, description="its value, such as 0.9 (or give share_of_best)")
    share_of_best: float | None = Field(
        None,
        gt=0,
        le=1,
        description="the target as a share of the best value that any compared run reaches (loss: divided)",
    )

    scale: ClassVar[Scale] = "log"
    estimator: ClassVar[Estimator] = "signed_rank"
    compares: ClassVar[tuple[Comparison, ...]] = ("ratio",)
    reads: ClassVar[Reads] = "metrics"
    infinite: ClassVar[str] = "never reach the target"

    @model_validator(mode="after")
    def _one_target(self) -> StepsToTarget:
        if (self.target is None) == (self.share_of_best is None):
            found = "neither" if self.target is None else "both"
            raise ValueError(f"found {found} of 'target' and 'share_of_best'; allowed: exactly one of them")
        if self.what == "accuracy" and (self.target or 0) > 1:
            raise ValueError(f"found target {self.target:g}; an accuracy is at most 1 (0.9 is 90 %)")
        return self

    @property
    def column(self) -> str:
        """Return the column of metrics.csv."""
        return f"{self.part}_{self.what}"

    @property
    def label(self) -> str:
        """Return what is measured, with the target."""
        words = {"train": "training", "val": "validation", "test": "test"}
        goal = f"{self.target:.4g}" if self.target else f"{self.share_of_best:g} of the best"
        return f"steps to {words[self.part]} {self.what} {goal}"

    def settle(self, samples: Sequence[Sample]) -> StepsToTarget:
        """Return the measure with its target, computed from the best value of all compared runs."""
        if self.share_of_best is None:
            return self
        curves = [sample.curve(self.column)[1] for sample in samples]
        values = np.concatenate([curve[np.isfinite(curve)] for curve in curves])
        if not len(values):
            return self
        loss = self.what == "loss"
        target = values.min() / self.share_of_best if loss else values.max() * self.share_of_best
        return self.model_copy(update={"target": float(target)})

    def reading(self, sample: Sample) -> Span | None:
        """Return the span from the previous evaluation to the one at the target; None if rows are missing."""
        if self.target is None:
            return None
        steps, values = sample.curve(self.column)
        # metrics.csv has float32 numbers; in float32, 0.9 is slightly more than in float64
        target = np.float32(self.target)
        values = values.astype(np.float32)
        hits = np.flatnonzero(values >= target if self.what == "accuracy" else values <= target)
        if len(hits):
            first = int(hits[0])
            return Span(float(steps[first - 1]) if first else 0.0, float(steps[first]), float(steps[first]))
        if sample.diverged:
            return Span(math.inf, math.inf, math.inf)
        done = sample.value("steps")
        if not len(steps) or steps[-1] < done:
            return None  # rows are missing; the run may have reached the target in them
        return Span(done, math.inf, math.inf)
