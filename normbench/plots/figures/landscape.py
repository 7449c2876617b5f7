"""The loss and its gradient along the gradient (Santurkar et al. 2018, figure 4)."""

from __future__ import annotations

from typing import ClassVar, Literal

from normbench.analysis.tables import Tables
from normbench.analysis.variants import variant_keys
from normbench.plots.chart import Chart
from normbench.plots.over_steps import Block, OverSteps, over_steps
from normbench.plots.probed import measured, probe_view
from normbench.plots.view import Request

BLOCKS = (
    Block("loss along the gradient (nats)", None, "landscape.loss_min", "landscape.loss_max", log=True),
    Block("change of the gradient (L2 norm)", None, "landscape.change_min", "landscape.change_max", log=True),
    Block("effective smoothness (change / length)", "landscape.smoothness", log=True),
)
NAMES = [name for block in BLOCKS for name in block.names]


class Landscape(OverSteps):
    """Range of the loss and of the gradient's change along the gradient, and the smoothness."""

    name: Literal["landscape"] = "landscape"

    probe: ClassVar[str] = "landscape"
    paper: ClassVar[str] = "Santurkar et al. 2018, arXiv:1805.11604"

    def applies(self, tables: Tables) -> bool:
        """Return whether all its quantities were measured."""
        return measured(tables, *NAMES)

    def compute(self, tables: Tables, request: Request) -> list[Chart]:
        """Return both ranges and the smoothness against the step, a color for each variant."""
        color = request.color if request.color is not None else variant_keys(tables)
        shown = probe_view(tables, request, NAMES, color, most=4)
        what = "ranges over several step lengths along the gradient, and the effective smoothness"
        return [over_steps(tables, shown, BLOCKS, self.name, what, average="geometric mean")]
