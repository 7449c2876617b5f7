"""A quantity from layer to layer, at some steps: what depth does to it, a line for each variant."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from normbench.analysis.tables import Tables
from normbench.analysis.variants import levels, variant_keys
from normbench.names import NET
from normbench.plots import marks
from normbench.plots.base import FigureKind, Request, colors_name, notes
from normbench.plots.labels import width
from normbench.plots.over_steps import seeds_band
from normbench.plots.probed import (
    any_measured,
    chosen_quantities,
    chosen_steps,
    layers_of,
    lost_text,
    named,
    page_name,
    probe_view,
    rows,
    spans_decades,
)
from normbench.plots.sheet import Sheet
from normbench.plots.style import Look, clean, looks, plain_log

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

USUAL = (
    *("ics.norm", "ics.cosine", "gradients.norm", "gradients.update_share", "perturbation.growth"),
    *("variance_shift.ratio", "forgetting.rise", "gradient_noise.variance"),
)
STEPS = 3  # without a wish: the first, the middle and the last that were measured


def draw(tables: Tables, request: Request) -> dict[str, Figure]:
    """Draw a page for each quantity: a column of panels for each step, a colour for each variant."""
    return {
        page_name("layers", quantity): _page(tables, request, quantity)
        for quantity in chosen_quantities(tables, request, USUAL)
    }


def _page(tables: Tables, request: Request, quantity: str) -> Figure:
    color = request.color if request.color is not None else variant_keys(tables)
    shown = probe_view(tables, request, [quantity], color, most=4)
    groups = levels(shown.runs, shown.panels.keys, named=True)  # a row of panels each
    shown = replace(shown, runs=shown.runs.assign(panel=groups.codes))
    table = rows(tables, shown, [quantity])
    table = table[table["layer"] != NET]
    layers, steps = layers_of(table), chosen_steps(table, request, STEPS)
    table = table[table["step"].isin(steps) & ~table["diverged"]]
    log = spans_decades(table["value"].to_numpy(float))
    means = marks.mean_band(table, [*marks.GROUP, "layer", "step"], "value", log)
    means["x"] = means["layer"].map({layer: i for i, layer in enumerate(layers)})
    far = log & marks.out_of_sight(means["mean"].to_numpy())
    low, high = marks.value_limits(means[~far], log)
    sheet = Sheet(len(groups), max(1, len(steps)))
    sheet.heads = {(0, c): f"step {step:,}" for c, step in enumerate(steps)}
    sheet.strips = dict(enumerate(groups.labels)) if shown.panels.keys else {}
    styles = looks(shown.color)
    for r, c, ax in sheet.panels():
        ax.set_yscale("log" if log else "linear")
        ax.set_ylim(low, high)
        if log:
            plain_log(ax.yaxis, low, high)
        else:
            ax.set_yticks([t for t in MaxNLocator(5).tick_values(low, high) if low <= t <= high])
        if steps:
            _lines(ax, means[(means["panel"] == r) & (means["step"] == steps[c])], styles)
        layer_axis(ax, layers, sheet)
    sentence = f"{named(quantity)} [{quantity}] of each layer; {seeds_band(shown, log)}"
    zeros = "values of 0 have no place on the logarithmic axis" if log and (table["value"] == 0).any() else ""
    lines = notes(tables, shown, sentence, lost_text(shown), zeros, marks.BEYOND if far.any() else "")
    colors = marks.line_handles(shown.color, styles)
    return sheet.finish(
        tables.title,
        lines,
        [(colors_name(shown), colors)],
        "layer, from the input to the output",
        named(quantity),
    )


def _lines(ax: Axes, part: pd.DataFrame, styles: list[Look]) -> None:
    for _, line in part.sort_values("x").groupby("color"):
        look = styles[int(line["color"].iloc[0])]
        line = line[np.isfinite(line["mean"])]
        ax.plot(
            line["x"], line["mean"], color=look.color, ls=look.dashes, marker=look.marker, ms=3.5, zorder=3
        )
        ax.fill_between(line["x"], line["low"], line["high"], color=look.color, alpha=0.15, lw=0, zorder=2)


def layer_axis(ax: Axes, layers: list[str], sheet: Sheet) -> None:
    """Name as many layers on the horizontal axis as have room, the first and the last among them."""
    names = [clean(name) for name in layers] or [""]
    widths = [width(name, sheet.font) for name in names]
    last = len(names) - 1
    edge = max(
        0.12, (widths[0] / 2 + widths[-1] / 2 + 0.1 - sheet.hgap) / 2
    )  # not into the next panel's labels
    unit = (sheet.width - 2 * edge) / max(1, last)  # inches from one layer to the next
    stride = max(1, math.ceil((max(widths) + 0.12) / unit))
    shown = [*range(0, max(1, last - stride + 1), stride), last] if last else [0]
    ax.set_xticks(shown, [names[i] for i in shown])
    ax.set_xticks(range(len(names)), minor=True)
    ax.set_xlim(-edge / unit, last + edge / unit)


FIGURES = (
    FigureKind(
        "layers",
        "a quantity against the layer, at some steps (--quantity ics.norm --step 0)",
        any_measured(*USUAL),
        draw,
        swept_x=False,
        probe="ics, gradients, perturbation, variance_shift, forgetting or gradient_noise",
        any_quantity=True,
    ),
)
