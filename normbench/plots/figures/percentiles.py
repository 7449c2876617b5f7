"""How the inputs of a layer's activation are spread, over the training (Ioffe & Szegedy 2015, figure 1)."""

from __future__ import annotations

from typing import ClassVar, Literal

from normbench.analysis.tables import Tables
from normbench.analysis.variants import variant_keys
from normbench.plots.chart import Chart
from normbench.plots.kind import Handles
from normbench.plots.over_steps import Block, OverSteps, over_steps
from normbench.plots.probed import chosen_layer, measured, option, probe_view
from normbench.plots.style import BLUE
from normbench.plots.view import Request

LOW, MIDDLE, HIGH = NAMES = tuple(f"activations.input_p{p}" for p in (15, 50, 85))


class Percentiles(OverSteps):
    """15th, 50th and 85th percentile of an activation's inputs, over the training."""

    name: Literal["percentiles"] = "percentiles"

    probe: ClassVar[str] = "activations"
    paper: ClassVar[str] = "Ioffe & Szegedy 2015, arXiv:1502.03167"

    def applies(self, tables: Tables) -> bool:
        """Return whether the three percentiles were measured."""
        return measured(tables, *NAMES)

    def compute(self, tables: Tables, request: Request) -> list[Chart]:
        """Return the 15th, 50th and 85th percentile against the step, a panel for each variant."""
        panel = request.panel if request.panel is not None else variant_keys(tables)
        shown = probe_view(tables, request, NAMES, request.color or (), panel)
        layer, name = chosen_layer(tables, request, NAMES)
        unit = option(tables, "activations", "unit")
        what = f"inputs of the activation of {name}" + ("" if unit is None else f", unit {unit}")
        return [
            over_steps(
                tables, shown, [Block("input of the activation", MIDDLE, LOW, HIGH)], self.name, what, layer
            )
        ]

    def signs(self, chart: Chart) -> Handles:
        """Return what line and area mean."""
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        color = BLUE if len(chart.color) == 1 else "#888888"
        return [
            (Line2D([], [], color=color), "50th percentile"),
            (Patch(facecolor=color, alpha=0.3), "15th to 85th percentile"),
            *super().signs(chart),
        ]
