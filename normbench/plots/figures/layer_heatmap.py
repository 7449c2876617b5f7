"""A quantity of each layer at each step, as a map: the output at the top, the input at the bottom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import LogNorm, Normalize

from normbench.analysis.tables import Tables
from normbench.analysis.variants import variant_keys
from normbench.names import NET
from normbench.plots import marks
from normbench.plots.base import FigureKind, Request, View, notes
from normbench.plots.color_bar import color_bar
from normbench.plots.probed import (
    any_measured,
    chosen_quantities,
    layers_of,
    lost_text,
    named,
    page_name,
    probe_view,
    rows,
    spans_decades,
)
from normbench.plots.sheet import Sheet
from normbench.plots.style import clean

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

USUAL = ("gradients.norm", "activations.saturated", "activations.input_std", "ics.norm", "ics.cosine")
EMPTY = "#F4F4F4"


def draw(tables: Tables, request: Request) -> dict[str, Figure]:
    """Draw a page for each quantity, a panel for each variant."""
    return {
        page_name("layer_heatmap", quantity): _page(tables, request, quantity)
        for quantity in chosen_quantities(tables, request, USUAL)
    }


def _page(tables: Tables, request: Request, quantity: str) -> Figure:
    panel = (*(request.color or ()), *(request.panel or variant_keys(tables)))
    shown = probe_view(tables, request, [quantity], (), tuple(dict.fromkeys(panel)))
    table = rows(tables, shown, [quantity])
    table = marks.thin(table[table["layer"] != NET], len(shown.panels))
    layers = layers_of(table)
    steps = np.unique(table["step"].to_numpy())
    kept = table[~table["diverged"]]
    log = spans_decades(kept["value"].to_numpy(float))
    means = marks.mean_band(kept, ["panel", "layer", "step"], "value", log)
    norm = _scale(means["mean"].to_numpy(float), log)
    panels = shown.panels
    height = min(4.2, max(1.15, 0.2 * len(layers) + 0.2))
    sheet = Sheet(panels.rows, panels.cols, present=set(panels.where), height=height)
    sheet.heads, sheet.strips = dict(panels.heads), dict(panels.strips)
    mesh: Any = None
    for p, (r, c) in enumerate(panels.where):
        mesh = _panel(sheet.at(r, c), means[means["panel"] == p], layers, steps, norm, sheet)
    sheet.right = 1.3
    lines = notes(tables, shown, _sentence(shown, quantity, log), lost_text(shown))
    figure = sheet.finish(
        tables.title, lines, [], "step (each column one measurement)", "layer, output at the top"
    )
    color_bar(figure, sheet, mesh, named(quantity), "colour", 1.05)
    return figure


def _sentence(shown: View, quantity: str, log: bool) -> str:
    zero = ", or 0" if log else ""
    kind = "geometric mean" if log else "mean"
    grey = f"grey: not measured, or no such layer{zero}"
    return f"colour: {named(quantity)} [{quantity}], {kind} over seeds; {grey}"


def _scale(values: np.ndarray, log: bool) -> Normalize:
    """Return the scale of the colours; single values far beyond the others take its ends."""
    values = values[np.isfinite(values)]
    if not len(values):
        return Normalize(0, 1)
    low, high = (float(v) for v in np.quantile(values, [0.005, 0.995]))
    if low == high:
        high = low * 1.01 if log else low + 1.0
    return LogNorm(low, high, clip=True) if log else Normalize(low, high, clip=True)


def _panel(
    ax: Axes, part: pd.DataFrame, layers: list[str], steps: np.ndarray, norm: Normalize, sheet: Sheet
) -> Any:
    values = np.full((len(layers), len(steps)), np.nan)
    places = {layer: i for i, layer in enumerate(layers)}
    values[part["layer"].map(places), np.searchsorted(steps, part["step"])] = part["mean"]
    edges = np.arange(len(steps) + 1) - 0.5, np.arange(len(layers) + 1) - 0.5
    mesh = ax.pcolormesh(*edges, np.ma.masked_invalid(values), cmap="cividis", norm=norm, rasterized=True)
    ax.set_facecolor(EMPTY)
    ax.grid(False)
    every = max(1, -(-len(layers) // int(max(1, sheet.height / 0.14))))
    ax.set_yticks(range(0, len(layers), every), [clean(name) for name in layers[::every]])
    texts = [marks.thousands(step) for step in steps]
    room = max(2, int(sheet.width / (max(map(len, texts), default=1) * sheet.font * 0.62 / 72 + 0.12)))
    shown = range(0, len(steps), max(1, -(-(len(steps) - 1) // (room - 1))))
    ax.set_xticks(shown, [texts[i] for i in shown])
    return mesh


FIGURES = (
    FigureKind(
        "layer_heatmap",
        "a quantity of each layer at each step as a map (--quantity gradients.norm)",
        any_measured(*USUAL),
        draw,
        swept_x=False,
        probe="gradients, activations or ics",
        any_quantity=True,
    ),
)
