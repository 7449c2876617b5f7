"""The largest learning rate that trains."""

from __future__ import annotations

from typing import ClassVar, Literal

from normbench.measures.base import Comparison, RateMeasure, Sample
from normbench.stats.intervals import Scale, Span, exactly


class MaxStableLr(RateMeasure):
    """Largest rate that trains: the top of the first contiguous block of rates, going upward.

    The edge lies between the top of the block and the next rate of the grid. The estimate is their geometric
    mean. If the block reaches the last rate, the next rate is infinite. A seed that trains at no rate counts
    as 0: its ratio to another seed is 0, infinite or undetermined, and the median is taken. Rates above the
    next one that train again are called holes. The scale is logarithmic.
    """

    name: Literal["max_stable_lr"] = "max_stable_lr"

    short_names: ClassVar[tuple[str, ...]] = ("largest_rate",)  # the name of its figure
    paper: ClassVar[str] = "Bjorck et al. 2018, arXiv:1806.02375"
    scale: ClassVar[Scale] = "log"
    compares: ClassVar[tuple[Comparison, ...]] = ("ratio",)
    absent: ClassVar[str] = "train at no rate so far, and have rates without a result"
    infinite: ClassVar[str] = "train up to the last rate"

    @property
    def label(self) -> str:
        """Return what is measured."""
        return "largest rate that trains"

    def reading(self, sample: Sample) -> Span | None:
        """Return the span from the top of the block to the next rate; 0 if no rate trains.

        None: none trains so far, and a rate that is not a refinement has no result yet.
        """
        if edge := self.edge(sample):
            return edge.span
        pending = sample.runs["outcome"].isna()
        if "refining" in sample.runs:
            pending &= ~sample.runs["refining"].astype(bool)
        return None if pending.any() else exactly(0.0)
