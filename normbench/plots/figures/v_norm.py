"""Weight normalization's claim: the norm of v grows until the effective rate, rate / ||v||^2, settles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from normbench.analysis.tables import Tables
from normbench.analysis.variants import variant_keys
from normbench.names import RATE
from normbench.plots.base import FigureKind, Request
from normbench.plots.over_steps import Block, over_steps, seeds_band
from normbench.plots.probed import chosen_layer, measured, probe_view, quantities_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLOCKS = (
    Block("norm of v (Frobenius)", "weights.v_norm", log=True),
    Block("effective rate (rate / squared norm)", "weights.effective_rate", log=True),
)


def draw(tables: Tables, request: Request) -> dict[str, Figure]:
    """Draw the norm of v and the effective rate against the step: a colour for each rate."""
    blocks = [block for block in BLOCKS if block.middle in quantities_of(tables)]
    color = (RATE,) if RATE in tables.varied else variant_keys(tables)
    shown = probe_view(
        tables, request, ["weights.v_norm"], color, tuple(k for k in variant_keys(tables) if k not in color)
    )
    layer, name = chosen_layer(tables, request, ["weights.v_norm"])
    sentence = f"norm of v in w = g v / ||v|| of {name}; {seeds_band(shown, log=True)}"
    return {"v_norm": over_steps(tables, shown, blocks, sentence, layer=layer)}


FIGURES = (
    FigureKind(
        "v_norm",
        "norm of weight normalization's v and the effective rate, over the training",
        measured("weights.v_norm"),
        draw,
        swept_x=False,
        probe="weights",
    ),
)
