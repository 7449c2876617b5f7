"""How much of the loss depends on the choice of the learning rate."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from normbench.measures.base import Measure, Reads, Sample
from normbench.stats.intervals import Span, exactly


class LrSensitivity(Measure):
    """Learning rate sensitivity: mean excess of the final loss over the best one, across the swept decades.

    For a cell and seed, with the final loss L(r) of the learning rate r and the loss L0 before training,

        E = 1 / (u_n - u_1) integral of [min(L(r), L0) - L*] du,   u = log10 r, from u_1 to u_n

    in nats. L* is the lowest min(L(r), L0) of all rates. The integral is that of straight lines between
    neighboring rates, so that a rate counts with the share of the decades around it, and unequal grids are
    no fault. A run that diverged or crashed counts with L0, as one that became worse than L0. 0 means that
    all rates are equally good. E depends on the range of the rates: compare variants on the same one.

    A seed that trains at no rate has no number: its losses all lie near L0, and so would E near 0. With a
    search for the edge, the rates of its scan alone count.
    """

    name: Literal["lr_sensitivity"] = "lr_sensitivity"
    part: Literal["test", "val"] = Field("test", description="of which part of the data")

    paper: ClassVar[str] = "Wortsman et al. 2023, arXiv:2309.14322"
    over_rates: ClassVar[bool] = True
    reads: ClassVar[Reads] = "metrics"
    absent: ClassVar[str] = "train at no rate, or have less than two rates, or rates without a result"
    failed: ClassVar[str] = "train at no rate"

    @property
    def label(self) -> str:
        """Return what is measured."""
        return f"mean excess {self.part} loss over the learning rates"

    def reading(self, sample: Sample) -> Span | None:
        """Return the mean excess in nats."""
        outcomes = sample.runs["outcome"].tolist()
        start = self._before_training(sample)
        if "trains" not in outcomes or len(outcomes) < 2 or start is None:
            return None
        if not all(isinstance(outcome, str) for outcome in outcomes):
            return None
        ended = np.isin(outcomes, ("trains", "stuck"))
        finals = np.where(ended, sample.runs[f"final_{self.part}_loss"].to_numpy(float), math.inf)
        if np.isnan(finals).any():
            return None
        losses, decades = np.minimum(finals, start), np.log10(sample.rates)
        excess = losses - losses.min()
        area = ((excess[1:] + excess[:-1]) / 2 * np.diff(decades)).sum()
        return exactly(float(area / (decades[-1] - decades[0])))

    def _before_training(self, sample: Sample) -> float | None:
        """Return the loss before training, which the runs of a cell and seed share: only rates differ."""
        for run in sample.runs["run"]:
            rows = sample.curves.of(int(run))
            first = rows.loc[rows["step"] == 0, f"{self.part}_loss"].to_numpy(float)
            if len(first) and not math.isnan(first[0]):
                return float(first[0])
        return None
