"""The largest learning rate that does not diverge."""

from __future__ import annotations

from typing import ClassVar, Literal

from normbench.measures.base import Sample
from normbench.measures.max_stable_lr import MaxStableLr
from normbench.stats.outcome import Edge, largest_trained_rate


class LargestRateWithoutDivergence(MaxStableLr):
    """Largest rate without divergence: the top of the first contiguous block of rates with a finite loss.

    As `max_stable_lr`, but a run that is stuck counts as one that trains: only a loss that is not finite, or
    a crash, ends the block. This is the largest rate of Bjorck et al. It is at least `max_stable_lr`. A seed
    that diverges at every rate counts as 0. A search for the edge refines the rates that train, not these:
    here a fine grid makes a narrow interval.
    """

    name: Literal["largest_rate_without_divergence"] = "largest_rate_without_divergence"  # type: ignore[assignment]

    absent: ClassVar[str] = "diverge at every rate so far, and have rates without a result"
    infinite: ClassVar[str] = "do not diverge up to the last rate"
    searched: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """Return what is measured."""
        return "largest rate without divergence"

    def edge(self, sample: Sample) -> Edge | None:
        """Return where the block ends; None if every rate diverges."""
        outcomes = ["trains" if one == "stuck" else one for one in sample.runs["outcome"]]
        return largest_trained_rate(sample.rates, outcomes)
