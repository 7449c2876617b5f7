"""Learning rate times sharpness against 2, beyond which gradient descent on a quadratic is unstable."""

from __future__ import annotations

from typing import ClassVar, Literal

from normbench.analysis.tables import Tables
from normbench.analysis.variants import variant_keys
from normbench.names import RATE
from normbench.plots.chart import Chart
from normbench.plots.over_steps import Block, OverSteps, over_steps
from normbench.plots.probed import measured, probe_view
from normbench.plots.view import Request

BLOCKS = (
    Block("learning rate x sharpness", "sharpness.times_rate", log=True, level=2.0),
    Block("sharpness", "sharpness.largest", log=True),
)
NAMES = [name for block in BLOCKS for name in block.names]


class Sharpness(OverSteps):
    """Learning rate x sharpness against 2, over the training."""

    name: Literal["sharpness"] = "sharpness"

    probe: ClassVar[str] = "sharpness"
    paper: ClassVar[str] = "Cohen et al. 2021, arXiv:2103.00065"

    def applies(self, tables: Tables) -> bool:
        """Return whether both its quantities were measured."""
        return measured(tables, *NAMES)

    def compute(self, tables: Tables, request: Request) -> list[Chart]:
        """Return learning rate x sharpness, and sharpness, a color for each learning rate."""
        color = (RATE,) if RATE in tables.varied else variant_keys(tables)
        panel = tuple(k for k in variant_keys(tables) if k not in color)
        shown = probe_view(tables, request, NAMES, color, panel)
        what, signs = "sharpness on a fixed batch", frozenset({"stable"})
        return [over_steps(tables, shown, BLOCKS, self.name, what, average="geometric mean", signs=signs)]
