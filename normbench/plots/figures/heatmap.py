"""Two swept keys as rows and columns: the colour is the final accuracy, the sign how the runs ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from normbench.analysis.tables import Tables
from normbench.analysis.variants import levels, short_key, variant_keys
from normbench.plots.base import FigureKind, Request, key_label, main_axis, notes, trains_text, view
from normbench.plots.color_bar import color_bar
from normbench.plots.figures.rate import NAMES, accuracy_column
from normbench.plots.marks import mean_band
from normbench.plots.sheet import Sheet
from normbench.plots.style import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EMPTY = "#F4F4F4"


def applies(tables: Tables) -> bool:
    """At least two keys are swept beside the seed."""
    return len(tables.varied) > 1 and bool(tables.runs["outcome"].notna().any())


def draw(tables: Tables, request: Request) -> dict[str, Figure]:
    """Draw depth by learning rate, or the keys that `x` (columns) and `color` (rows) name."""
    x = request.x or main_axis(tables)
    others = [k for k in tables.varied if k != x and k not in (request.panel or ())]
    plain = [k for k in others if k not in variant_keys(tables)]
    y = request.color or (("model.depth",) if "model.depth" in plain else (plain or others or [x])[:1])
    shown = view(tables, Request(x, tuple(y), request.panel), x)
    panels = shown.panels
    columns, rows = levels(shown.runs, (x,)), shown.color
    measure = accuracy_column(tables) or "train_loss_last_tenth"
    runs = shown.runs.assign(x=columns.codes)
    runs = runs[runs["outcome"].notna()]
    by = ["panel", "color", "x"]
    lost = runs["outcome"] == "diverged"
    means = mean_band(runs.assign(value=runs[measure].where(~lost)), by, "value", log=False)
    counted = runs.assign(**{word: runs["outcome"] == word for word in ("trains", "stuck", "diverged")})
    table = means.merge(counted.groupby(by)[["trains", "stuck", "diverged"]].sum().reset_index(), on=by)
    table["n"] = table[["trains", "stuck", "diverged"]].sum(axis=1)
    width = min(6.0, max(1.72, 10.4 / panels.cols))
    height = min(3.6, max(0.75, 0.26 * len(rows) + 0.1, 0.35 * width if panels.cols < 3 else 0))
    sheet = Sheet(panels.rows, panels.cols, present=set(panels.where), height=height)
    sheet.heads, sheet.strips = dict(panels.heads), dict(panels.strips)
    shares = "accuracy" in measure
    finite = table["mean"][np.isfinite(table["mean"])]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    if shares:  # from 0 to 1, unless all are so good that their differences would not be seen
        low = float(np.floor(20 * low) / 20) if low > 0.6 else 0.0
        high = max(float(np.ceil(20 * high) / 20), low + 0.05) if low else 1.0
    mesh: Any = None
    for p, (r, c) in enumerate(panels.where):
        ax = sheet.at(r, c)
        part = table[table["panel"] == p]
        values = np.full((len(rows), len(columns)), np.nan)
        values[part["color"], part["x"]] = part["mean"]
        mesh = ax.pcolormesh(
            np.arange(len(columns) + 1) - 0.5,
            np.arange(len(rows) + 1) - 0.5,
            np.ma.masked_invalid(values),
            cmap="cividis",
            vmin=low,
            vmax=high,
            edgecolors="white",
            linewidth=0.6,
        )
        ax.set_facecolor(EMPTY)
        ax.grid(False)
        _signs(ax, part, sheet.width / len(columns), (low + high) / 2)
        ax.set_yticks(range(len(rows)), rows.labels)
        _column_ticks(ax, columns.labels, sheet)
        if isinstance(rows.values[0][0], str):
            ax.set_ylim(len(rows) - 0.5, -0.5)  # words read downwards, numbers grow upwards
    sheet.right = 0.95
    what = NAMES[measure]
    figure = sheet.finish(
        tables.title,
        notes(
            tables,
            shown,
            f"colour: mean {what} over the seeds that did not diverge",
            trains_text(tables),
        ),
        [("", _legend())],
        key_label(x),
        ", ".join(short_key(k) for k in rows.keys),
    )
    color_bar(figure, sheet, mesh, what, "acc.")
    return {"heatmap": figure}


def _signs(ax: Axes, part: Any, inches: float, middle: float) -> None:
    """Put the sign of each cell's outcome: nothing where every seed trains, a share where they differ."""
    size = min(7.0, max(3.2, inches * 72 * 0.45))
    for word, marker in (("stuck", "o"), ("diverged", "x")):
        cells = part[part[word] == part["n"]]
        dark = ~(cells["mean"].to_numpy() > middle)  # a dark cell, or none at all
        for light_sign in (True, False):
            chosen = cells[dark == light_sign]
            color = "white" if light_sign and word == "stuck" else INK
            ax.plot(
                chosen["x"],
                chosen["color"],
                ls="none",
                marker=marker,
                ms=size * 0.8,
                color=color,
                mfc="none",
                mew=1.1,
            )
    mixed = part[~part[["trains", "stuck", "diverged"]].eq(part["n"], axis=0).any(axis=1)]
    for x, y, trains, n, mean in mixed[["x", "color", "trains", "n", "mean"]].itertuples(index=False):
        color = INK if mean > middle or not np.isfinite(mean) else "white"
        text = f"{trains}/{n}"
        ax.text(
            x, y, text, size=min(7.5, inches * 72 / (0.72 * len(text))), ha="center", va="center", color=color
        )


def _legend() -> list[tuple[Any, str]]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        (Patch(facecolor="#8A8678"), "no sign: every seed trains"),
        (Line2D([], [], ls="none"), "3/5: so many of the seeds train"),
        (Line2D([], [], ls="none", marker="o", mfc="none", mew=1.1, color=INK), "every seed is stuck"),
        (Line2D([], [], ls="none", marker="x", mew=1.2, color=INK), "every seed diverged"),
        (Patch(facecolor=EMPTY, edgecolor="#CCCCCC"), "no accuracy (diverged, or not run)"),
    ]


def _column_ticks(ax: Axes, labels: tuple[str, ...], sheet: Sheet) -> None:
    """Label as many columns as have room, from the first on in equal steps."""
    widest = max(len(text) for text in labels) * sheet.font * 0.6 / 72 + 0.08
    step = max(1, int(np.ceil(widest * len(labels) / sheet.width)))
    places = list(range(0, len(labels), step))
    ax.set_xticks(places, [labels[i] for i in places])


FIGURES = (FigureKind("heatmap", "two swept keys as a map of final accuracy and outcome", applies, draw),)
