"""Share of the runs that train."""

from __future__ import annotations

from typing import ClassVar, Literal

from normbench.measures.base import Comparison, Estimator, Measure, Sample
from normbench.stats.intervals import Span, exactly


class ShareThatTrains(Measure):
    """Share of runs that train, among the rates of a cell and seed; compared by Wilson's square-and-add.

    Runs without an outcome do not count; one that crashed does not train. Use it if some groups
    train at no rate.
    """

    name: Literal["share_that_trains"] = "share_that_trains"

    paper: ClassVar[str] = "Wilson 1927; Newcombe 1998"
    estimator: ClassVar[Estimator] = "share"
    compares: ClassVar[tuple[Comparison, ...]] = ("difference",)
    over_rates: ClassVar[bool] = True

    @property
    def label(self) -> str:
        """Return what is measured."""
        return "share of runs that train"

    def reading(self, sample: Sample) -> Span | None:
        """Return the share."""
        outcomes = [outcome for outcome in sample.runs["outcome"] if isinstance(outcome, str)]
        return exactly(outcomes.count("trains") / len(outcomes)) if outcomes else None
