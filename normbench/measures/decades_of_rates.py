"""Width of the range of learning rates that train."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from normbench.measures.base import RateMeasure, Sample
from normbench.stats.intervals import Span


class DecadesOfRates(RateMeasure):
    """Decades of rates that train: log10(top / bottom) of the first contiguous block that trains.

    The width is at least log10(top / bottom) and at most log10(next / before), with the rates above and below
    the block. The upper bound is infinite if the block reaches an end of the grid. The estimate is in the
    middle. If no rate trains, the estimate is 0 and the upper bound is the widest step of the grid, which may
    contain a narrower block.
    """

    name: Literal["decades_of_rates"] = "decades_of_rates"

    @property
    def label(self) -> str:
        """Return what is measured."""
        return "decades of rates that train"

    def reading(self, sample: Sample) -> Span | None:
        """Return the width of the block, which the grid bounds from below and above."""
        outcomes = sample.runs["outcome"].tolist()
        there = np.array([isinstance(outcome, str) for outcome in outcomes], dtype=bool)
        grid = np.sort(sample.rates[there])
        if len(grid) < 2:
            return None
        edge = self.edge(sample)
        if edge is None:
            return Span(0.0, float(np.diff(np.log10(grid)).max()), 0.0)
        bottom = float(grid[len(edge.slow)])
        before = edge.slow[-1] if edge.slow else 0.0
        low = math.log10(edge.top / bottom)
        high = math.inf if math.isinf(edge.next) or not before else math.log10(edge.next / before)
        return Span(low, high, (low + high) / 2)
