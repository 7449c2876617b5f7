"""Any quantity that a probe measured, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from normbench.errors import did_you_mean, one_of
from normbench.measures.base import RunMeasure, Sample, known
from normbench.probes import PROBES
from normbench.stats import Span


class Probe(RunMeasure):
    """A probe's quantity: at one layer, or as the mean of all; at one step, or aggregated over steps."""

    name: Literal["probe"] = "probe"
    probe: str = Field(description="the probe that measures it, one of the config's `probes`")
    quantity: str = Field(description="as layers.csv names it")
    layer: str | None = Field(None, description="as layers.csv names it; none: the mean of all layers")
    step: int | None = Field(None, ge=0, description="the step at which it was measured")
    aggregate: Literal["mean", "median", "min", "max", "last"] | None = Field(
        None, description="over all steps, in place of `step`"
    )

    reads: ClassVar[Literal["runs", "metrics", "layers"]] = "layers"

    @model_validator(mode="after")
    def _step_or_aggregate(self) -> Probe:
        if (self.step is None) == (self.aggregate is None):
            found = "neither" if self.step is None else "both"
            raise ValueError(f"found {found} of 'step' and 'aggregate'; allowed: exactly one of them")
        return self

    @model_validator(mode="after")
    def _of_this_probe(self) -> Probe:
        if self.probe not in PROBES:
            raise ValueError(
                f"probe: '{self.probe}' is unknown; {did_you_mean(self.probe, PROBES)}{one_of(PROBES)}"
            )
        if not self.quantity.startswith(f"{self.probe}."):
            raise ValueError(
                f"quantity: '{self.quantity}' is not of this probe; its quantities begin with '{self.probe}.'"
            )
        return self

    @property
    def label(self) -> str:
        """Return what is measured, where and when."""
        where = f"in {self.layer}" if self.layer else "mean of the layers"
        when = f"step {self.step}" if self.step is not None else f"{self.aggregate} over steps"
        return f"{self.quantity}, {where}, {when}"

    def problem(self, probes: Sequence[str]) -> str | None:
        """Return that the probe is off, if it is."""
        if self.probe in probes:
            return None
        return f"the probe '{self.probe}' is off; add it: 'probes: [{', '.join([*probes, self.probe])}]'"

    def reading(self, sample: Sample) -> Span | None:
        """Return the mean over layers at the step, or of the layers' means over them."""
        rows = sample.layers.of(int(sample.runs["run"].iloc[0]))
        rows = rows[rows["quantity"] == self.quantity]
        if self.layer is not None:
            rows = rows[rows["layer"] == self.layer]
        if self.step is not None:
            rows = rows[rows["step"] == self.step]
        if rows.empty:
            return None
        means = rows.groupby("step")["value"].mean().to_numpy(float)  # over layers, step by step
        how: dict[str, Callable[[np.ndarray], float]] = {
            **{"mean": np.mean, "median": np.median, "min": np.min, "max": np.max},
            "last": lambda x: x[-1],
        }
        return known(float(how[self.aggregate or "mean"](means)))
