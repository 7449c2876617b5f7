"""Rate times sharpness against 2, beyond which gradient descent on a quadratic is unstable (Cohen et al.)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from normbench.analysis.tables import Tables
from normbench.analysis.variants import variant_keys
from normbench.names import RATE
from normbench.plots.base import FigureKind, Request
from normbench.plots.over_steps import Block, over_steps, seeds_band
from normbench.plots.probed import measured, probe_view
from normbench.plots.style import GREY

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLOCKS = (
    Block("rate x sharpness", "sharpness.times_rate", log=True, level=2.0),
    Block("sharpness", "sharpness.largest", log=True),
)
NAMES = [name for block in BLOCKS for name in block.names]


def draw(tables: Tables, request: Request) -> dict[str, Figure]:
    """Draw rate x sharpness, and sharpness, against the step, a colour for each rate."""
    from matplotlib.lines import Line2D

    color = (RATE,) if RATE in tables.varied else variant_keys(tables)
    shown = probe_view(
        tables, request, NAMES, color, tuple(k for k in variant_keys(tables) if k not in color)
    )
    legend = [
        (
            Line2D([], [], color=GREY, ls=(0, (2, 2)), lw=0.9),
            "2: gradient descent on a quadratic is stable below",
        )
    ]
    sentence = f"sharpness: the Hessian's largest eigenvalue, on a fixed batch; {seeds_band(shown, log=True)}"
    return {"sharpness": over_steps(tables, shown, BLOCKS, sentence, legend)}


FIGURES = (
    FigureKind(
        "sharpness",
        "rate x sharpness against 2, over the training",
        measured(*NAMES),
        draw,
        swept_x=False,
        probe="sharpness",
    ),
)
