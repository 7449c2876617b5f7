"""Ioffe & Szegedy's figure 1b,c: how the inputs of a layer's activation are spread, over the training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from normbench.analysis.tables import Tables
from normbench.analysis.variants import variant_keys
from normbench.plots.base import FigureKind, Request
from normbench.plots.over_steps import Block, over_steps
from normbench.plots.probed import chosen_layer, measured, option, probe_view
from normbench.plots.style import BLUE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOW, MIDDLE, HIGH = NAMES = tuple(f"activations.input_p{p}" for p in (15, 50, 85))


def draw(tables: Tables, request: Request) -> dict[str, Figure]:
    """Draw the 15th, 50th and 85th percentile against the step, a panel for each variant."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    panel = request.panel if request.panel is not None else variant_keys(tables)
    shown = probe_view(tables, request, NAMES, request.color or (), panel)
    layer, name = chosen_layer(tables, request, NAMES)
    color = BLUE if len(shown.color) == 1 else "#888888"
    legend = [
        (Line2D([], [], color=color), "50th percentile"),
        (Patch(facecolor=color, alpha=0.3), "from the 15th to the 85th percentile"),
    ]
    unit = option(tables, "activations", "unit")
    units = "all units and images together" if unit is None else f"unit {unit}, all images together"
    sentence = (
        f"inputs of the activation of {name} on the coming training batch, {units}; each percentile is the "
        "mean over seeds"
    )
    block = Block("input of the activation", MIDDLE, LOW, HIGH)
    return {"percentiles": over_steps(tables, shown, [block], sentence, legend, layer)}


FIGURES = (
    FigureKind(
        "percentiles",
        "15th, 50th and 85th percentile of an activation's inputs, over the training",
        measured(*NAMES),
        draw,
        swept_x=False,
        probe="activations",
    ),
)
