"""The norm of v in weight normalization, which grows until the effective learning rate settles."""

from __future__ import annotations

from typing import ClassVar, Literal

from normbench.analysis.tables import Tables
from normbench.analysis.variants import variant_keys
from normbench.names import RATE
from normbench.plots.chart import Chart
from normbench.plots.over_steps import Block, OverSteps, over_steps
from normbench.plots.probed import chosen_layer, measured, probe_view, quantities_of
from normbench.plots.view import Request

BLOCKS = (
    Block("norm of v (Frobenius)", "weights.v_norm", log=True),
    Block("effective learning rate (rate / squared norm)", "weights.effective_rate", log=True),
)


class VNorm(OverSteps):
    """Norm of weight normalization's v and the effective learning rate, over the training."""

    name: Literal["v_norm"] = "v_norm"

    probe: ClassVar[str] = "weights"
    paper: ClassVar[str] = "Salimans & Kingma 2016, arXiv:1602.07868"

    def applies(self, tables: Tables) -> bool:
        """Return whether the norm of v was measured."""
        return measured(tables, "weights.v_norm")

    def compute(self, tables: Tables, request: Request) -> list[Chart]:
        """Return the norm of v and the effective learning rate, a color for each learning rate."""
        blocks = [block for block in BLOCKS if block.middle in quantities_of(tables)]
        color = (RATE,) if RATE in tables.varied else variant_keys(tables)
        panel = tuple(k for k in variant_keys(tables) if k not in color)
        shown = probe_view(tables, request, ["weights.v_norm"], color, panel)
        layer, name = chosen_layer(tables, request, ["weights.v_norm"])
        what = f"norm of v in w = g v / ||v|| of {name}"
        return [over_steps(tables, shown, blocks, self.name, what, layer, "geometric mean")]
