"""Difference of training and inference behavior."""

from __future__ import annotations

from typing import ClassVar, Literal

from normbench.measures.base import Comparison, RunMeasure, Sample, known
from normbench.stats.intervals import Span


class InferenceGap(RunMeasure):
    """Training accuracy as trained minus at inference: what is lost when the behavior changes, at the end.

    The first is the mean over the training batches since the previous evaluation, in training mode: with
    batch statistics, with dropout, and with earlier weights. The second is measured after the last step on
    training images as test images are measured. Large values say that the running statistics do not fit. A
    diverged run has no gap. Records of version 0.2 and older lack the second value.
    """

    name: Literal["inference_gap"] = "inference_gap"

    compares: ClassVar[tuple[Comparison, ...]] = ("difference",)
    absent: ClassVar[str] = (
        "diverged, or have no training values at inference (measured after the last step alone, and not by "
        "version 0.2 and older)"
    )

    @property
    def label(self) -> str:
        """Return what is measured."""
        return "training accuracy as trained minus at inference"

    @property
    def is_share(self) -> bool:
        """Return True: it is a difference of accuracies."""
        return True

    def reading(self, sample: Sample) -> Span | None:
        """Return the difference after the last step."""
        if sample.diverged:
            return None
        return known(sample.value("final_train_accuracy") - sample.value("inference_train_accuracy"))
