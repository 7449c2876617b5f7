"""Santurkar et al.'s figure 4: the loss and its gradient along the gradient, over the training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from normbench.analysis.tables import Tables
from normbench.analysis.variants import variant_keys
from normbench.plots.base import FigureKind, Request, several_seeds
from normbench.plots.over_steps import Block, over_steps
from normbench.plots.probed import measured, probe_view

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLOCKS = (
    Block("loss along the gradient (nats)", None, "landscape.loss_min", "landscape.loss_max", log=True),
    Block("change of the gradient (L2 norm)", None, "landscape.change_min", "landscape.change_max", log=True),
    Block("effective smoothness (change / length)", "landscape.smoothness", log=True),
)
NAMES = [name for block in BLOCKS for name in block.names]


def draw(tables: Tables, request: Request) -> dict[str, Figure]:
    """Draw both ranges and the smoothness against the step, a colour for each variant."""
    color = request.color if request.color is not None else variant_keys(tables)
    shown = probe_view(tables, request, NAMES, color, most=4)
    average = "geometric mean over seeds" if several_seeds(shown) else "one run each"
    interval = ", band: its 95 % Student-t interval" if several_seeds(shown) else ""
    sentence = (
        "steps of several lengths along the gradient of the coming batch, for measurement only; bands: from "
        f"the smallest to the largest value over these lengths ({average}); effective smoothness: "
        f"the largest change of the gradient for a unit of length ({average}{interval})"
    )
    return {"landscape": over_steps(tables, shown, BLOCKS, sentence)}


FIGURES = (
    FigureKind(
        "landscape",
        "range of the loss and of the gradient's change along the gradient, and its smoothness",
        measured(*NAMES),
        draw,
        swept_x=False,
        probe="landscape",
    ),
)
