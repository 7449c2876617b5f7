"""What a step costs: seconds of the forward pass, the backward pass and the update; bytes that it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from normbench.analysis.tables import Tables
from normbench.analysis.variants import variant_keys
from normbench.names import RATE
from normbench.plots.captions import caption, footer, warnings
from normbench.plots.chart import Axis, Chart, Grid, Place, marks_of
from normbench.plots.kind import FigureKind, Handles
from normbench.plots.means import GROUP, mean_band
from normbench.plots.one_rate import without_lr
from normbench.plots.probed import measured, probe_view, quantities_of, rows
from normbench.plots.style import BLUE, GREEN, GREY, INK, ORANGE, SKY
from normbench.plots.view import Request, View

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from normbench.plots.style import Look

PARTS = {  # of a bar, from the left: quantity -> text and color
    "cost.forward_seconds": ("forward", SKY),
    "cost.backward_seconds": ("backward", BLUE),
    "cost.update_seconds": ("update", ORANGE),
    "cost.saved_bytes": ("kept for the backward pass", GREEN),
    "cost.parameter_bytes": ("parameters", GREY),
}
SECONDS = [name for name in PARTS if name.endswith("seconds")]
BYTES = [name for name in PARTS if name.endswith("bytes")]
WHOLE = "cost.step_seconds"
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
SIZES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))


class Cost(FigureKind):
    """Time and memory of a step for each variant: forward, backward, update."""

    name: Literal["cost"] = "cost"

    swept_x: ClassVar[bool] = False
    probe: ClassVar[str] = "cost"

    def applies(self, tables: Tables) -> bool:
        """Return whether the parts of a step were timed."""
        return measured(tables, *SECONDS)

    def compute(self, tables: Tables, request: Request) -> list[Chart]:
        """Return a bar for each variant, stacked from the parts of a step, a panel for each width.

        Marks: the quantities; mean, low and high are in the unit of the axis, `left` is where a part begins.
        """
        color = request.color if request.color is not None else variant_keys(tables)
        shown = probe_view(without_lr(tables), request, [*PARTS], color)
        charts = [_page(tables, shown, "cost", [*SECONDS, WHOLE], UNITS, "time of a step")]
        memory = [name for name in BYTES if name in quantities_of(tables)]
        if memory:
            charts.append(_page(tables, shown, "cost_memory", memory, SIZES, "memory"))
        return charts

    def layout(self, chart: Chart) -> dict[str, float]:
        """Return the sizes: rows of equal height."""
        return {"height": min(4.5, 0.24 * len(chart.color) + 0.35)}

    def draw_on(self, ax: Axes, part: pd.DataFrame, look: Look) -> None:
        """Stack the parts of each variant; write their sum beside the bar; draw the whole step's interval."""
        bars, whole = part[part["mark"] != WHOLE], part[part["mark"] == WHOLE]
        for row in marks_of(bars):
            # A part below 0 covers the end of those before it with the background.
            paint = PARTS[row.mark][1] if row.mean > 0 else ax.get_facecolor()
            height = 0.7 if row.mean < 0 else 0.68
            ax.barh(row.color, row.mean, left=row.left, height=height, color=paint, zorder=2)
        sums = bars.groupby("color")["mean"].sum()
        ends = sums.to_dict()
        for row in marks_of(whole):
            ax.plot(row.mean, row.color, "|", color=INK, ms=9, mew=1.4, zorder=4)
            if np.isfinite(row.low):
                ax.plot([row.low, row.high], [row.color, row.color], color=INK, lw=1.0, zorder=3)
            ends[row.color] = max(np.nan_to_num([sums.get(row.color, 0.0), row.mean, row.high]))
        for color, end in ends.items():
            text = f"{sums.get(color, end):.3g}"
            beside: dict[str, Any] = {"textcoords": "offset points", "va": "center"}
            ax.annotate(text, (end, color), (4, 0), size=look.points(7), color=INK, **beside)

    def signs(self, chart: Chart) -> Handles:
        """Return what the parts of a bar mean."""
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        drawn = set(chart.frame["mark"])
        legend: Handles = [
            (Patch(facecolor=fill), text) for name, (text, fill) in PARTS.items() if name in drawn
        ]
        if WHOLE in drawn:
            band = bool(np.isfinite(chart.frame["low"]).any())
            mark = Line2D([], [], color=INK, marker="|", ms=9, mew=1.4, ls="-" if band else "none")
            legend.append((mark, "whole step, timed as one" + ", with 95 % interval" * band))
        return legend


def _page(
    tables: Tables, shown: View, stem: str, names: list[str], units: tuple[tuple[float, str], ...], what: str
) -> Chart:
    panels, variants = shown.panels, shown.color
    frame = _means(tables, shown, names)
    bars = frame[frame["mark"] != WHOLE]
    sums = bars.groupby(GROUP)["mean"].sum().groupby("panel").max()
    longest = frame[["mean", "high"]].max(axis=1).groupby(frame["panel"]).max()
    ends = np.maximum(longest, sums.reindex(longest.index).fillna(0.0))
    largest = float(ends.max())
    scale, unit = next(((size, name) for size, name in units if largest >= size), units[-1])
    values = ["mean", "low", "high", "left"]
    frame[values] = frame[values] / scale
    apart = panels.rows == 1 and len(ends) > 1 and largest > 3 * ends.min()
    y = Axis(shown.color_name, "rows", (len(variants) - 0.5, -0.5), names=variants.labels)
    grid = Grid.of_panels(panels, Axis(), y)
    places = []
    for place in grid.places:
        end = float(ends.get(place.panel, 1.0)) if apart else largest
        x = Axis(f"{what} ({unit})", limits=(0.0, 1.2 * end / scale))
        places.append(Place(place.row, place.col, place.panel, 0, x, y))
    over = "seeds and rates" if RATE in tables.varied else "seeds"
    return Chart(
        stem=stem,
        title=tables.title,
        frame=frame,
        grid=Grid(tuple(places), grid.heads, grid.strips),
        color=variants,
        caption=caption(tables, shown, f"{what} of one run, mean over {over}", "", band=False),
        warnings=warnings(
            tables,
            shown,
            "each panel has its own scale" if apart else "",
            "a part below 0 is taken off its bar" if (bars["mean"] < 0).any() else "",
        ),
        footer=footer(tables),
    )


def _means(tables: Tables, shown: View, names: list[str]) -> pd.DataFrame:
    """Return means and intervals over seeds of each run's median over its measurements."""
    table = rows(tables, shown, names)
    table = table[np.isfinite(table["value"])]
    medians = table.groupby(["run", *GROUP, "quantity"])["value"].median().reset_index()
    means = mean_band(medians, [*GROUP, "quantity"], "value", False).assign(block=0)
    order = {name: i for i, name in enumerate(names)}
    means = means.sort_values("quantity", key=lambda column: column.map(order), kind="stable")
    parts = means["mean"].where(means["quantity"] != WHOLE, 0.0)
    before = parts.groupby([means[key] for key in GROUP]).cumsum() - parts
    return means.rename(columns={"quantity": "mark"}).assign(left=before).reset_index(drop=True)
