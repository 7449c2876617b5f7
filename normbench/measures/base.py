"""What a measure is: it reads a number from the runs of one cell and seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from normbench.registry import Named
from normbench.stats.intervals import Estimator, Scale, Span, exactly
from normbench.stats.outcome import Edge, largest_trained_rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

Part = Literal["train", "val", "test"]
Comparison = Literal["ratio", "difference"]
Reads = Literal["runs", "metrics", "layers"]


class Rows:
    """A long table (metrics or layers) with a column `run`. `of` finds the rows of one run."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table.sort_values("run", kind="stable")
        self._runs = self.table["run"].to_numpy()

    def of(self, run: int) -> pd.DataFrame:
        """Return the rows of a run, in their order."""
        start, end = np.searchsorted(self._runs, [run, run + 1])
        return self.table.iloc[start:end]


@dataclass(frozen=True)
class Sample:
    """The runs of one cell and seed: one row, or one row for each rate if the measure needs all rates.

    Attributes:
        runs: rows of runs.csv, with `run`, the position by which `curves` and `layers` name a run.
        rates: the learning rate of each row (NaN if none is recorded).
        curves, layers: rows of metrics.csv and layers.csv.
    """

    runs: pd.DataFrame
    rates: np.ndarray
    curves: Rows
    layers: Rows

    def curve(self, column: str) -> tuple[np.ndarray, np.ndarray]:
        """Return steps and values of a column of metrics.csv for the first run, without missing values."""
        rows = self.curves.of(int(self.runs["run"].iloc[0]))
        steps, values = rows["step"].to_numpy(), rows[column].to_numpy(float)
        there = ~np.isnan(values)
        return steps[there], values[there]

    def value(self, column: str) -> float:
        """Return a number of runs.csv for the first run; NaN if it is missing."""
        found = self.runs[column].iloc[0]
        return math.nan if found is None else float(found)

    @property
    def chance(self) -> float:
        """Return the accuracy of guessing, for the classes of the first run; NaN if it is not recorded.

        It is that of as many equally frequent classes as the entropy of the labels stands for.
        """
        return math.exp(-self.value("label_entropy"))

    @property
    def diverged(self) -> bool:
        """Return whether the first run diverged."""
        return bool(self.runs["outcome"].iloc[0] == "diverged")

    @property
    def crashed(self) -> bool:
        """Return whether the first run crashed."""
        return bool(self.runs["outcome"].iloc[0] == "crashed")


class Measure(Named):
    """Base of all measures: its pydantic fields are the options, `reading` is the definition.

    Class attributes:
        scale: the scale on which means and intervals are computed.
        estimator: by which seeds are averaged: `t` (mean, Student-t), `median` (order statistics) or
            `signed_rank` (Wilcoxon). Where numbers are infinite, the median is taken.
        compares: how two groups can be compared.
        over_rates: whether it needs all rates of a cell and seed together, instead of one run.
        refined: whether it uses the rates with which a search refines the edge of single seeds.
        reads: the file that it needs in addition to runs.csv.
        absent: what seeds without a reading did, for messages: `train at no rate`.
        infinite: what seeds with an infinite reading did: `never reach the target`. Empty: no message.
        failed: what seeds did of which no counted run trains.
        searched: whether a search for the edge (`optimizer.lr: {edge: ...}`) makes its numbers finer.
    """

    scale: ClassVar[Scale] = "linear"
    estimator: ClassVar[Estimator] = "t"
    compares: ClassVar[tuple[Comparison, ...]] = ("ratio", "difference")
    over_rates: ClassVar[bool] = False
    refined: ClassVar[bool] = False
    reads: ClassVar[Reads] = "runs"
    absent: ClassVar[str] = "have no value in the records"
    infinite: ClassVar[str] = ""
    failed: ClassVar[str] = "failed"
    searched: ClassVar[bool] = False

    @property
    def own_best(self) -> bool:
        """Return whether each variant is measured at its own best rate."""
        return False

    @property
    def label(self) -> str:
        """Return what is measured, as figures call it: `final test accuracy`."""
        return self.key().replace("_", " ")

    @property
    def is_share(self) -> bool:
        """Return whether it is a share of 1, so that a difference of 0.01 is a point."""
        return False

    def settle(self, samples: Sequence[Sample]) -> Measure:
        """Return the measure with everything filled in that depends on all compared runs."""
        return self

    def reading(self, sample: Sample) -> Span | None:
        """Return the number, as a span if it is known only within bounds; None if there is none."""
        raise NotImplementedError

    def holes(self, sample: Sample) -> int:
        """Return at how many rates above the counted block the seed trains again."""
        return 0

    def resolution(self, sample: Sample) -> float:
        """Return the distance of two neighboring values, if rounding to it can make seeds equal; else 0."""
        return 0.0

    def problem(self, probes: Sequence[str]) -> str | None:
        """Return why the measure cannot be taken if these probes are on, or None."""
        return None


class RateMeasure(Measure):
    """A measure of the first contiguous block of rates that train, going upward."""

    failed: ClassVar[str] = "train at no rate"

    over_rates: ClassVar[bool] = True
    refined: ClassVar[bool] = True
    searched: ClassVar[bool] = True

    def edge(self, sample: Sample) -> Edge | None:
        """Return where the block ends; None if no rate trains."""
        return largest_trained_rate(sample.rates, sample.runs["outcome"].tolist())

    def holes(self, sample: Sample) -> int:
        """Return at how many rates above the edge the seed trains again."""
        edge = self.edge(sample)
        return len(edge.holes) if edge else 0


class RunMeasure(Measure):
    """A measure of single runs, compared at the rates that the option `at` chooses."""

    at: Literal["own_best", "equal_rates"] = Field(
        "own_best",
        description="own_best: each variant at the rate with its best mean validation score over seeds "
        "(without a validation split: the score of the figures); equal_rates: rate by rate",
    )

    @property
    def own_best(self) -> bool:
        """Return whether each variant is measured at its own best rate."""
        return self.at == "own_best"


def known(value: float) -> Span | None:
    """Return a number as a reading, NaN as None."""
    return None if math.isnan(value) else exactly(value)
