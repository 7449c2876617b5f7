"""What a step costs: seconds of the forward pass, the backward pass and the update; bytes that it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from normbench.analysis.tables import Tables
from normbench.analysis.variants import short_key, variant_keys
from normbench.names import RATE
from normbench.plots import marks
from normbench.plots.base import FigureKind, Request, View, notes, several_seeds
from normbench.plots.probed import measured, probe_view, quantities_of, rows, without_rate
from normbench.plots.sheet import Sheet
from normbench.plots.style import BLUE, GREEN, GREY, INK, ORANGE, SKY, clean

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Part = tuple[str, str, str]  # quantity, name, colour
Units = tuple[tuple[float, str], ...]
SECONDS: tuple[Part, ...] = (
    ("cost.forward_seconds", "forward", SKY),
    ("cost.backward_seconds", "backward", BLUE),
    ("cost.update_seconds", "update", ORANGE),
)
BYTES: tuple[Part, ...] = (
    ("cost.saved_bytes", "kept for the backward pass", GREEN),
    ("cost.parameter_bytes", "parameters", GREY),
)
WHOLE = "cost.step_seconds"
NAMES = [name for name, _, _ in (*SECONDS, *BYTES)]
UNITS: Units = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
SIZES: Units = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))


def draw(tables: Tables, request: Request) -> dict[str, Figure]:
    """Draw a bar for each variant, stacked from the parts of a step, a panel for each width."""
    color = request.color if request.color is not None else variant_keys(tables)
    shown = probe_view(without_rate(tables), request, NAMES, color)
    pages = {"cost": _page(tables, shown, SECONDS, UNITS, "time of a step", WHOLE)}
    memory = tuple(part for part in BYTES if part[0] in quantities_of(tables))
    if memory:
        pages["cost_memory"] = _page(tables, shown, memory, SIZES, "memory")
    return pages


def _page(
    tables: Tables, shown: View, parts: tuple[Part, ...], units: Units, what: str, whole: str = ""
) -> Figure:
    panels, groups = shown.panels, shown.color
    means = _means(tables, shown, [*(name for name, _, _ in parts), whole])
    sums = means[means["quantity"] != whole].groupby(marks.GROUP)["mean"].sum()
    ends = means[["panel"]].assign(end=means[["mean", "high"]].max(axis=1)).groupby("panel")["end"].max()
    ends = np.maximum(ends, sums.groupby("panel").max())
    apart = panels.rows == 1 and len(ends) > 1 and ends.max() > 3 * ends.min()
    scale, unit = _unit(float(ends.max()), units)
    height = min(4.5, 0.24 * len(groups) + 0.35)
    sheet = Sheet(panels.rows, panels.cols, present=set(panels.where), height=height, share_x=not apart)
    sheet.heads, sheet.strips = dict(panels.heads), dict(panels.strips)
    for p, (r, c) in enumerate(panels.where):
        ax = sheet.at(r, c)
        _bars(ax, means[means["panel"] == p], parts, scale)
        ax.set_xlim(0, 1.2 * float(ends.get(p, 1.0) if apart else ends.max()) / scale)
        ax.xaxis.set_major_locator(MaxNLocator(max(2, int(sheet.width / 0.6))))
        ax.set_yticks(range(len(groups)), [clean(text) for text in groups.labels])
        ax.set_ylim(len(groups) - 0.5, -0.5)
        ax.grid(False, axis="y")
    over = "seeds and rates" if RATE in tables.varied else "seeds"
    sentence = (
        f"{what} for each run (a stack's divided by its runs): median over a run's measurements, mean over "
        f"{over}; numbers: sums of a bar's parts{'; each panel has its own scale' if apart else ''}"
    )
    below = bool((means.loc[means["quantity"] != whole, "mean"] < 0).any())
    merged = "a part below 0, merged into the one before it, is taken off its bar" if below else ""
    legend = _legend(parts, whole, bool((means["quantity"] == whole).any()), several_seeds(shown))
    names = ", ".join(short_key(key) for key in groups.keys)
    return sheet.finish(
        tables.title, notes(tables, shown, sentence, merged), [("", legend)], f"{what} ({unit})", names
    )


def _means(tables: Tables, shown: View, names: list[str]) -> pd.DataFrame:
    """Return means and intervals over seeds of each run's median over its measurements."""
    table = rows(tables, shown, names)
    table = table[np.isfinite(table["value"])]
    by = ["run", *marks.GROUP, "quantity"]
    return marks.mean_band(
        table.groupby(by)["value"].median().reset_index(), [*marks.GROUP, "quantity"], "value", False
    )


def _unit(largest: float, units: Units) -> tuple[float, str]:
    """Return the unit in which the largest bar is a number of a few digits."""
    return next(((size, name) for size, name in units if largest >= size), units[-1])


def _bars(ax: Axes, part: pd.DataFrame, parts: tuple[Part, ...], scale: float) -> None:
    """Stack the parts of each variant, write their sum beside the bar, and the whole step's interval."""
    start: dict[int, float] = {}
    for name, _, fill in parts:
        for color, value in part.loc[part["quantity"] == name, ["color", "mean"]].itertuples(index=False):
            left = start.get(int(color), 0.0)
            start[int(color)] = left + value / scale
            # a later part below 0 covers the end of those before it with the background
            paint = fill if value > 0 else ax.get_facecolor()
            ax.barh(color, value / scale, left=left, height=0.7 if value < 0 else 0.68, color=paint, zorder=2)
    whole = part[part["quantity"] == WHOLE]
    ends = dict(start)
    for color, mean, low, high in whole[["color", "mean", "low", "high"]].itertuples(index=False):
        ax.plot(mean / scale, color, "|", color=INK, ms=9, mew=1.4, zorder=4)
        if np.isfinite(low):
            ax.plot([low / scale, high / scale], [color, color], color=INK, lw=1.0, zorder=3)
        ends[int(color)] = max(start.get(int(color), 0.0), mean / scale, high / scale if high == high else 0)
    for color, end in ends.items():
        text = f"{start.get(color, end):.3g}"
        ax.annotate(text, (end, color), (4, 0), textcoords="offset points", va="center", size=7, color=INK)


def _legend(parts: tuple[Part, ...], whole: str, timed: bool, interval: bool) -> list[tuple[Any, str]]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    legend: list[tuple[Any, str]] = [(Patch(facecolor=fill), text) for _, text, fill in parts]
    if whole and timed:
        mark = Line2D([], [], color=INK, marker="|", ms=9, mew=1.4, ls="-" if interval else "none")
        band = ", with its 95 % Student-t interval" if interval else ""
        legend.append((mark, f"whole step, timed as one{band}"))
    return legend


FIGURES = (
    FigureKind(
        "cost",
        "time and memory of a step for each variant: forward, backward, update",
        measured(*(name for name, _, _ in SECONDS)),
        draw,
        swept_x=False,
        probe="cost",
    ),
)
