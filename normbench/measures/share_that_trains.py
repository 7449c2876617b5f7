"""Share of the runs that train."""

from __future__ import annotations

from typing import ClassVar, Literal

from normbench.measures.base import Comparison, Measure, Sample
from normbench.stats.intervals import Span, exactly


class ShareThatTrains(Measure):
    """Share of runs that train, among the rates of a cell and seed; compared in pairs by Student-t.

    Runs without an outcome do not count; one that crashed does not train. A share of K rates is known to 1/K.
    The variance of a difference is therefore taken as at least 2 (1/K)^2 / 12, that of two rounded numbers.
    """

    name: Literal["share_that_trains"] = "share_that_trains"

    compares: ClassVar[tuple[Comparison, ...]] = ("difference",)
    over_rates: ClassVar[bool] = True
    failed: ClassVar[str] = "train at no rate"

    @property
    def label(self) -> str:
        """Return what is measured."""
        return "share of runs that train"

    @property
    def is_share(self) -> bool:
        """Return True: it is a share."""
        return True

    def reading(self, sample: Sample) -> Span | None:
        """Return the share."""
        outcomes = _outcomes(sample)
        return exactly(outcomes.count("trains") / len(outcomes)) if outcomes else None

    def resolution(self, sample: Sample) -> float:
        """Return the share of one run."""
        return 1 / len(outcomes) if (outcomes := _outcomes(sample)) else 0.0


def _outcomes(sample: Sample) -> list[str]:
    return [outcome for outcome in sample.runs["outcome"] if isinstance(outcome, str)]
