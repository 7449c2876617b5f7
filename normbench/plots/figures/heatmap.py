"""Two swept keys as a map: the color is the final accuracy, the sign how the runs ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from normbench.analysis.tables import Tables
from normbench.analysis.variants import levels, variant_keys
from normbench.plots.captions import caption, footer, warnings
from normbench.plots.chart import Axis, Chart, ColorScale, Grid, marks_of
from normbench.plots.kind import FigureKind, Handles
from normbench.plots.maps import EMPTY, color_map
from normbench.plots.marks import crash
from normbench.plots.means import ENDS, GROUP, by_outcome
from normbench.plots.over_key import LOSS, NAMES, accuracy_column
from normbench.plots.style import INK
from normbench.plots.view import Request, key_label, main_axis, view

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from normbench.plots.style import Look


class Heatmap(FigureKind):
    """Two swept keys as a map of final accuracy and outcome."""

    name: Literal["heatmap"] = "heatmap"

    def applies(self, tables: Tables) -> bool:
        """Return whether at least two keys are swept and some run ended."""
        return len(tables.varied) > 1 and bool(tables.runs["outcome"].notna().any())

    def compute(self, tables: Tables, request: Request) -> list[Chart]:
        """Return depth by learning rate, or the keys that `x` (columns) and `color` (rows) name.

        One row for each cell: `x` (column), `y` (row), mean, and how many of n train, are stuck, diverged and
        crashed.
        """
        x = request.x or main_axis(tables)
        others = [k for k in tables.varied if k != x and k not in (request.panel or ())]
        plain = [k for k in others if k not in variant_keys(tables)]
        y = request.color or (("model.depth",) if "model.depth" in plain else (plain or others or [x])[:1])
        shown = view(tables, Request(x, tuple(y), request.panel), x)
        columns, rows = levels(shown.runs, (x,)), shown.color
        measure = accuracy_column(tables) or LOSS
        runs = shown.runs.assign(x=columns.codes)
        frame = by_outcome(runs[runs["outcome"].notna()], [*GROUP, "x"], measure, log=False)
        frame = frame.assign(block=0, mark="cell", y=frame["color"])
        words = isinstance(rows.values[0][0], str)  # words read downward, numbers grow upward
        n = len(rows)
        downward = (n - 0.5, -0.5) if words else (-0.5, n - 0.5)
        what = NAMES[measure]
        return [
            Chart(
                stem="heatmap",
                title=tables.title,
                frame=frame,
                grid=Grid.of_panels(
                    shown.panels,
                    Axis(key_label(x), "thinned", (-0.5, len(columns) - 0.5), names=columns.labels),
                    Axis(shown.color_name, "rows", downward, names=rows.labels),
                ),
                color=rows,
                caption=caption(tables, shown, f"color: {what.split(' (')[0]}", band=False),
                warnings=warnings(tables, shown),
                footer=footer(tables, outcomes=True),
                scale=_scale(frame["mean"].to_numpy(float), what, "accuracy" in measure),
            )
        ]

    def layout(self, chart: Chart) -> dict[str, float]:
        """Return the sizes: rows of equal height, room for the bar of the colors."""
        rows, cols = len(chart.color), chart.grid.cols
        width = min(6.0, max(1.72, 10.4 / cols))
        least = 0.35 * width if cols < 3 else 0
        frame = chart.frame
        mixed = frame.loc[~frame[ENDS].eq(frame["n"], axis=0).any(axis=1), "n"]
        upward = 0.7 * (2 * len(str(mixed.max())) + 1) * chart.letters / 72 if len(mixed) else 0.0
        height = max(min(3.6, max(0.75, 0.26 * rows + 0.1, least)), 0.15 * rows, upward * rows)
        return {"height": height, "right": 0.95}

    def draw_on(self, ax: Axes, part: pd.DataFrame, look: Look) -> None:
        """Draw the cells and their signs: none where every seed trains, a share where seeds differ."""
        color_map(ax, part, look, edges=True)
        assert look.scale is not None
        middle = (look.scale.low + look.scale.high) / 2
        inches = look.width / len(look.x.names)
        size = 0.8 * min(7.0, max(3.2, inches * 72 * 0.45))
        for word, marker in (("stuck", "o"), ("diverged", "x"), ("crashed", crash())):
            cells = part[part[word] == part["n"]]
            dark = ~(cells["mean"].to_numpy(float) > middle)  # a dark cell, or none
            for light_sign in (True, False):
                chosen = cells[dark == light_sign]
                color = "white" if light_sign and word == "stuck" else INK
                sign: dict[str, Any] = {"ls": "none", "marker": marker, "ms": size, "mfc": "none", "mew": 1.1}
                ax.plot(chosen["x"], chosen["y"], color=color, **sign)
        mixed = part[~part[ENDS].eq(part["n"], axis=0).any(axis=1)]
        for cell in marks_of(mixed):
            color = INK if cell.mean > middle or not np.isfinite(cell.mean) else "white"
            text = f"{cell.trains}/{cell.n}{'!' * bool(cell.crashed)}"
            fit = min(7.5, inches * 72 / (0.72 * len(text)))
            where: dict[str, Any] = {"ha": "center", "va": "center", "color": color}
            if fit < look.letters:  # in a narrow column: upward
                where["rotation"] = 90
            ax.text(cell.x, cell.y, text, size=look.points(fit), **where)

    def signs(self, chart: Chart) -> Handles:
        """Return what the signs mean."""
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        crashed: Handles = []
        if (chart.frame["crashed"] > 0).any():
            crashed = [
                (
                    Line2D([], [], ls="none", marker=crash(), mfc="none", color=INK),
                    "every seed crashed; 3/5!: some did",
                )
            ]
        return [
            (Patch(facecolor="#8A8678"), "no sign: every seed trains"),
            (Line2D([], [], ls="none"), "3/5: number of seeds that train"),
            (Line2D([], [], ls="none", marker="o", mfc="none", mew=1.1, color=INK), "every seed is stuck"),
            (Line2D([], [], ls="none", marker="x", mew=1.2, color=INK), "every seed diverged"),
            *crashed,
            (Patch(facecolor=EMPTY, edgecolor="#CCCCCC"), "no accuracy (diverged or not run)"),
        ]


def _scale(means: np.ndarray, label: str, shares: bool) -> ColorScale:
    """Return the scale of the colors, for shares from 0 to 1 unless all are high: then differences show."""
    finite = means[np.isfinite(means)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    if shares:
        low = float(np.floor(20 * low) / 20) if low > 0.6 else 0.0
        high = max(float(np.ceil(20 * high) / 20), low + 0.05) if low else 1.0
    return ColorScale(low, high, False, label, "acc.")
