"""A quantity from layer to layer, at some steps: what depth does to it, a line for each variant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from normbench.analysis.tables import Tables
from normbench.analysis.variants import levels, variant_keys
from normbench.names import NET
from normbench.plots import marks
from normbench.plots.captions import BEYOND, caption, footer, lost_text, warnings
from normbench.plots.chart import Axis, Chart, Grid, Place
from normbench.plots.kind import FigureKind
from normbench.plots.means import GROUP, mean_band, out_of_sight, value_limits
from normbench.plots.probed import (
    any_measured,
    chosen_quantities,
    chosen_steps,
    layers_of,
    named,
    page_name,
    probe_view,
    rows,
    spans_decades,
    unitless,
)
from normbench.plots.style import clean
from normbench.plots.view import Request

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from normbench.plots.style import Look

USUAL = (
    *("ics.norm", "ics.cosine", "gradients.norm", "gradients.update_share", "perturbation.growth"),
    *("variance_shift.ratio", "forgetting.rise", "gradient_noise.variance"),
)
STEPS = 3  # without a wish: the first, the middle and the last that were measured


class Layers(FigureKind):
    """A quantity against the layer, at some steps (--quantity ics.norm --step 0)."""

    name: Literal["layers"] = "layers"

    swept_x: ClassVar[bool] = False
    probe: ClassVar[str] = "ics, gradients, perturbation, variance_shift, forgetting or gradient_noise"
    any_quantity: ClassVar[bool] = True

    def applies(self, tables: Tables) -> bool:
        """Return whether a quantity was measured that is usually shown so."""
        return any_measured(tables, *USUAL)

    def compute(self, tables: Tables, request: Request) -> list[Chart]:
        """Return a page for each quantity: a column of panels for each step, a color for each variant."""
        return [_page(tables, request, name) for name in chosen_quantities(tables, request, USUAL)]

    def draw_on(self, ax: Axes, part: pd.DataFrame, look: Look) -> None:
        """Draw a line with its band for each color, and name as many layers as have room."""
        for color, line in part.sort_values("x").groupby("color"):
            style = look.of(color)
            line = line[np.isfinite(line["mean"])]
            shape = {"ls": style.dashes, "marker": style.marker, "ms": 3.5}
            ax.plot(line["x"], line["mean"], color=style.color, zorder=3, **shape)
            marks.area(ax, line["x"], line["low"], line["high"], style.color, 0.15)
        _name_layers(ax, look)


def _page(tables: Tables, request: Request, quantity: str) -> Chart:
    """Return one row for each point: `x` (place of the `layer`), `block` (of the `step`), mean, low, high."""
    color = request.color if request.color is not None else variant_keys(tables)
    shown = probe_view(tables, request, [quantity], color, most=4)
    variants = levels(shown.runs, shown.panels.keys, named=True)  # one row of panels for each
    shown = replace(shown, runs=shown.runs.assign(panel=variants.codes))
    table = rows(tables, shown, [quantity])
    table = table[table["layer"] != NET]
    layers, steps = layers_of(table), chosen_steps(table, request, STEPS)
    table = table[table["step"].isin(steps) & ~table["diverged"]]
    log = spans_decades(table["value"].to_numpy(float))
    frame = mean_band(table, [*GROUP, "layer", "step"], "value", log)
    frame["x"] = frame["layer"].map({layer: i for i, layer in enumerate(layers)})
    frame["block"] = np.searchsorted(steps, frame["step"])
    far = log & out_of_sight(frame["mean"].to_numpy(float))
    y = Axis(named(quantity), limits=value_limits(frame[~far], log), log=log)
    names = dict(enumerate(variants.labels)) if shown.panels.keys else {}
    zeros = "values of 0 are left out of the logarithmic axis"
    return Chart(
        stem=page_name("layers", quantity),
        title=tables.title,
        frame=frame.assign(mark="point"),
        grid=_grid(len(variants), steps, layers, y, names),
        color=shown.color,
        color_name=shown.color_name,
        caption=caption(
            tables, shown, f"{unitless(quantity)} of each layer", "geometric mean" if log else "mean"
        ),
        warnings=warnings(
            tables,
            shown,
            lost_text(shown),
            zeros if log and (table["value"] == 0).any() else "",
            BEYOND if far.any() else "",
        ),
        footer=footer(tables),
    )


def _grid(n: int, steps: Sequence[int], layers: Sequence[str], y: Axis, strips: dict[int, str]) -> Grid:
    """Return n rows of panels and a column for each step."""
    x = Axis("layer, from the input to the output", "thinned", names=tuple(layers))
    places = [Place(r, c, r, c, x, y) for r in range(n) for c in range(max(1, len(steps)))]
    heads = {(0, c): f"step {step:,}" for c, step in enumerate(steps)}
    return Grid(tuple(places), heads, strips)


def _name_layers(ax: Axes, look: Look) -> None:
    """Name as many layers on the horizontal axis as have room, the first and the last among them."""
    from normbench.plots.labels import width

    names = [clean(name) for name in look.x.names] or [""]
    widths = [width(name, look.font) for name in names]
    last = len(names) - 1
    gap = 0.26  # between two panels: the names of neighbors must not meet
    edge = max(0.12, (widths[0] / 2 + widths[-1] / 2 + 0.1 - gap) / 2)
    unit = (look.width - 2 * edge) / max(1, last)  # inches from one layer to the next
    stride = max(1, math.ceil((max(widths) + 0.12) / unit))
    shown = [*range(0, max(1, last - stride + 1), stride), last] if last else [0]
    ax.set_xticks(shown, [names[i] for i in shown])
    ax.set_xticks(range(len(names)), minor=True)
    ax.set_xlim(-edge / unit, last + edge / unit)
