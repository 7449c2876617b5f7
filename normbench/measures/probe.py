"""Any quantity that a probe measures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from normbench.errors import did_you_mean, one_of
from normbench.measures.base import Reads, RunMeasure, Sample, known
from normbench.names import NET
from normbench.stats.intervals import Span

if TYPE_CHECKING:
    import pandas as pd


class ProbedQuantity(RunMeasure):
    """A probe's quantity: at one layer or as the mean of all; at one step or aggregated over steps.

    With `relative_to` it is divided by the same quantity in that layer, step by step. `range` is the largest
    value minus the smallest over the steps.
    """

    name: Literal["probe"] = "probe"
    probe: str = Field(description="the probe that measures it, one of the config's `probes`")
    quantity: str = Field(description="its name in layers.csv")
    layer: str | None = Field(
        None, description="its name in layers.csv; without one: the mean of all layers (without 'net')"
    )
    relative_to: str | None = Field(None, description="divide by the value in this layer")
    step: int | None = Field(None, ge=0, description="the step of the measurement")
    aggregate: Literal["mean", "median", "min", "max", "range", "last"] | None = Field(
        None, description="how to aggregate over all measured steps, instead of `step`"
    )

    reads: ClassVar[Reads] = "layers"

    @model_validator(mode="after")
    def _step_or_aggregate(self) -> ProbedQuantity:
        if (self.step is None) == (self.aggregate is None):
            found = "neither" if self.step is None else "both"
            raise ValueError(f"found {found} of 'step' and 'aggregate'; allowed: exactly one of them")
        return self

    @model_validator(mode="after")
    def _of_this_probe(self) -> ProbedQuantity:
        if not self.quantity.startswith(f"{self.probe}."):
            raise ValueError(
                f"quantity: '{self.quantity}' is not of this probe; its quantities begin with '{self.probe}.'"
            )
        return self

    @property
    def label(self) -> str:
        """Return what is measured, where and when."""
        where = f"in {self.layer}" if self.layer else "mean of the layers"
        if self.relative_to:
            where += f" / in {self.relative_to}"
        when = f"step {self.step}" if self.step is not None else f"{self.aggregate} over steps"
        return f"{self.quantity}, {where}, {when}"

    @property
    def is_share(self) -> bool:
        """Return whether the probe declares the quantity as a share, and it is not divided by another."""
        from normbench.probes import quantity  # imports torch, which judging does not need

        found = quantity(self.quantity)
        return found is not None and found.unit == "share" and self.relative_to is None

    def problem(self, probes: Sequence[str]) -> str | None:
        """Return what is wrong: an unknown probe or quantity, a layer without it, or a probe that is off."""
        from normbench.probes import PROBES, quantity  # imports torch, which judging does not need

        if self.probe not in PROBES:
            return f"probe: '{self.probe}' is unknown; {did_you_mean(self.probe, PROBES)}{one_of(PROBES)}"
        declared = [one.listed for one in PROBES[self.probe].quantities]
        found = quantity(self.quantity)
        if declared and found is None:
            hint = did_you_mean(self.quantity, declared)
            return f"quantity: '{self.quantity}' is unknown; {hint}{one_of(declared)}"
        for key, layer in (("layer", self.layer), ("relative_to", self.relative_to)):
            if found and layer and not found.has(layer):
                return f"{key}: '{layer}' has no '{self.quantity}', which is a number of {found.owner}"
        if self.probe not in probes:
            return f"the probe '{self.probe}' is off; add it: 'probes: [{', '.join([*probes, self.probe])}]'"
        return None

    def reading(self, sample: Sample) -> Span | None:
        """Return the value at the step, or the aggregate over steps."""
        rows = sample.layers.of(int(sample.runs["run"].iloc[0]))
        rows = rows[rows["quantity"] == self.quantity]
        if self.step is not None:
            rows = rows[rows["step"] == self.step]
        values = self._at(rows, self.layer)
        if self.relative_to is not None:
            values = values / self._at(rows, self.relative_to)
        if not len(values):
            return None
        how: dict[str, Callable[[np.ndarray], float]] = {
            **{"mean": np.mean, "median": np.median, "min": np.min, "max": np.max, "range": np.ptp},
            "last": lambda x: x[-1],
        }
        return known(float(how[self.aggregate or "mean"](values.to_numpy(float))))

    @staticmethod
    def _at(rows: pd.DataFrame, layer: str | None) -> pd.Series[float]:
        """Return the values of a layer by step; without a layer, the mean over layers."""
        if layer is not None:
            rows = rows[rows["layer"] == layer]
        elif (rows["layer"] != NET).any():
            rows = rows[rows["layer"] != NET]
        return rows.groupby("step")["value"].mean()
