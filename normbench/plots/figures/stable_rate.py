"""The largest stable rate that the sharpness predicts, beside the largest rate at which the sweep trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from normbench.analysis.tables import Tables
from normbench.analysis.variants import at_best_rate, edges, levels, refining, short_key, variant_keys
from normbench.plots import marks
from normbench.plots.base import FigureKind, Request, View, notes, several_seeds, trains_text, view
from normbench.plots.figures import largest_rate
from normbench.plots.probed import measured, rows, without_rate
from normbench.plots.sheet import Sheet
from normbench.plots.style import BLUE, INK, RED, clean, plain_log
from normbench.stats.outcome import edge_interval

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STABLE = "sharpness.stable_rate"
LINES = (  # what, colour, sign, where it stands in its variant's row
    ("start", BLUE, "o", -0.24),
    ("end", RED, "s", 0.0),
    ("found", INK, "|", 0.24),
)


def applies(tables: Tables) -> bool:
    """Sharpness was measured in a sweep of at least three rates."""
    return measured(STABLE)(tables) and largest_rate.applies(tables)


def draw(tables: Tables, request: Request) -> dict[str, Figure]:
    """Draw for each variant both predictions and what the sweep found, on the axis of the rate."""
    color = request.color if request.color is not None else variant_keys(tables)
    shown = view(without_rate(tables), Request(panel=request.panel), None, color, refined=True)
    table = _table(tables, shown)
    panels, groups = shown.panels, shown.color
    height = min(5.0, 0.36 * len(groups) + 0.3)
    sheet = Sheet(panels.rows, panels.cols, present=set(panels.where), height=height)
    sheet.heads, sheet.strips = dict(panels.heads), dict(panels.strips)
    low, high = _limits(table)
    for p, (r, c) in enumerate(panels.where):
        ax = sheet.at(r, c)
        ax.set_xscale("log")
        ax.set_xlim(low, high)
        plain_log(ax.xaxis, low, high)
        _rows(ax, table[table["panel"] == p], high)
        ax.set_yticks(range(len(groups)), [clean(text) for text in groups.labels])
        ax.set_ylim(len(groups) - 0.5, -0.5)
        ax.grid(False, axis="y")
    band = "95 % Student-t interval over seeds (of the sweep: and grid)" if several_seeds(shown) else ""
    sentence = "2 / sharpness, the largest rate at which gradient descent on a quadratic is stable, and the "
    sentence += f"largest rate that trains; line: {band}" if band else "largest rate that trains; no interval"
    lines = notes(tables, shown, sentence, trains_text(tables))
    if not table.loc[table["line"] == "found", ["mean", "low"]].notna().any(axis=1).all():
        lines.append("what has no black line trains at no rate")
    elif np.isinf(table["high"]).any():
        lines.append(
            "a line up to the edge of its panel: up to the last rate of the sweep, and perhaps beyond"
        )
    names = ", ".join(short_key(key) for key in groups.keys)
    return {
        "stable_rate": sheet.finish(tables.title, lines, [("", _legend())], "learning rate (per step)", names)
    }


def _table(tables: Tables, shown: View) -> pd.DataFrame:
    """Return mean, low and high of each line for each panel and colour."""
    import pandas as pd

    table = rows(tables, shown, [STABLE])
    table["seed"] = table["run"].map(shown.runs.drop_duplicates("run").set_index("run")["seed"])
    scan = shown.runs[~refining(shown.runs)]
    best = at_best_rate(scan, marks.GROUP)["run"]
    last = table[table["run"].isin(best) & ~table["diverged"]].sort_values("step")
    parts = {
        "start": table[table["step"] == table["step"].min()],
        "end": last.drop_duplicates(["run", *marks.GROUP], keep="last"),
    }
    by = [*marks.GROUP, "seed"]  # at the start runs of a seed differ in the rate alone
    means = [
        marks.mean_band(part.groupby(by)["value"].median().reset_index(), marks.GROUP, "value", True).assign(
            line=name
        )
        for name, part in parts.items()
    ]
    places = levels(shown.runs, marks.GROUP).values
    found = []
    for group, seeds in edges(shown.runs, marks.GROUP).items():
        interval = edge_interval(list(seeds.values()))
        found.append((*places[group], interval.estimate, interval.low, interval.high, "found"))
    columns = [*marks.GROUP, "mean", "low", "high", "line"]
    return pd.concat([*means, pd.DataFrame(found, columns=columns)], ignore_index=True)


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    """Return limits of the rate that hold all means and finite ends."""
    values = table[["mean", "low", "high"]].to_numpy(float).ravel()
    values = values[np.isfinite(values) & (values > 0)]
    if not len(values):
        return 0.1, 10.0
    return float(values.min()) / 1.6, float(values.max()) * 1.6


def _rows(ax: Axes, part: pd.DataFrame, high: float) -> None:
    for name, look, sign, offset in LINES:
        own = part[part["line"] == name]
        at = own["color"] + offset
        ends = np.minimum(own["high"], high)  # up to the last rate: the edge lies beyond
        ax.hlines(at, own["low"], ends, color=look, lw=1.1, zorder=3)
        size = 9 if sign == "|" else 4.5
        there = np.isfinite(own["mean"])
        ax.plot(own["mean"][there], at[there], sign, color=look, ms=size, mew=1.6, ls="none", zorder=4)


def _legend() -> list[tuple[Any, str]]:
    from matplotlib.lines import Line2D

    texts = (
        "predicted at the first measurement",
        "predicted at the last one, at the best rate",
        "found by the sweep",
    )
    return [
        (Line2D([], [], color=look, marker=sign, ms=9 if sign == "|" else 4.5, mew=1.6, lw=1.1), text)
        for (_, look, sign, _), text in zip(LINES, texts, strict=True)
    ]


FIGURES = (
    FigureKind(
        "stable_rate",
        "the largest stable rate that the sharpness predicts beside the one that was found",
        applies,
        draw,
        swept_x=False,
        probe="sharpness",
    ),
)
