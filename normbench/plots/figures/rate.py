"""Final accuracy and loss against the learning rate: a line, an interval and the failures of each variant."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from normbench.analysis.tables import Tables
from normbench.analysis.variants import short_key
from normbench.names import RATE
from normbench.plots import marks
from normbench.plots.base import (
    FigureKind,
    Request,
    View,
    colors_name,
    key_label,
    notes,
    several_seeds,
    trains_text,
    view,
)
from normbench.plots.sheet import Sheet
from normbench.plots.style import GREY, PALE, Look, looks, plain_log, rate_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 9  # beyond, accuracy and loss get a page each
NAMES = {
    "final_test_accuracy": "final test accuracy (share)",
    "final_val_accuracy": "final validation accuracy (share)",
    "final_train_accuracy": "final training accuracy (share)",
    "train_loss_last_tenth": "mean training loss of the last tenth of the steps (nats)",
    "gap_accuracy": "training minus test accuracy (share)",
    "gap_loss": "test minus training loss (nats)",
}


def applies(tables: Tables) -> bool:
    """There are at least two rates and something was measured."""
    return RATE in tables.varied and bool(tables.runs["outcome"].notna().any())


def accuracy_column(tables: Tables) -> str | None:
    """Return the final accuracy to show: on test images, else validation, else training batches."""
    for part in ("test", "val", "train"):
        if tables.runs[f"final_{part}_accuracy"].notna().any():
            return f"final_{part}_accuracy"
    return None


def draw(tables: Tables, request: Request) -> dict[str, Figure]:
    """Draw final accuracy above final training loss; on two pages where there are many panels."""
    shown = view(tables, request, RATE)
    accuracy = accuracy_column(tables)
    measures = [m for m in (accuracy, "train_loss_last_tenth") if m]
    if len(shown.panels) <= MOST_PANELS or len(measures) == 1:
        return {"rate": measured(tables, shown, measures)}
    return {"rate": measured(tables, shown, measures[:1]), "rate_loss": measured(tables, shown, measures[1:])}


def measured(
    tables: Tables,
    shown: View,
    measures: list[str],
    names: Mapping[str, str] = NAMES,
    logs: Collection[str] = ("train_loss_last_tenth",),
) -> Figure:
    """Draw measures (columns of the view's runs) against the axis, a block of panels for each measure.

    `names`: what the axis of each says; `logs`: those on a logarithmic axis, of which the mean is geometric.
    """
    panels = shown.panels
    n = panels.rows
    sheet = Sheet.of_blocks(panels, len(measures))
    styles = looks(shown.color)
    best = marks.best_table(shown)
    used: set[str] = set()
    beyond = False
    for m, measure in enumerate(measures):
        log = measure in logs
        table = marks.summarise(shown, measure, log)
        trained = table[(table["stuck"] == 0) & np.isfinite(table["mean"])]
        # Stuck runs can have any loss: they may leave a panel of gaps, which shows what the others have.
        limits = marks.value_limits(trained if measure == "gap_loss" and len(trained) else table, log)
        beyond |= measure == "gap_loss" and bool(
            ((table["mean"] < limits[0]) | (table["mean"] > limits[1])).any()
        )
        for p, (r, c) in enumerate(panels.where):
            ax = sheet.at(m * n + r, c)
            used |= _panel(ax, table[table["panel"] == p], shown, styles, limits, log)
            if measure == "train_loss_last_tenth":
                entropy = float(shown.runs["label_entropy"].median())
                ax.axhline(tables.trains_below * entropy, color=GREY, lw=0.9, ls=(0, (2, 2)))
                used.add("threshold")
            if shown.x == RATE:
                rate_ticks(ax.xaxis, shown.runs[RATE].tolist(), sheet.width, sheet.font)
                used |= _best(ax, table[table["panel"] == p], best[best["panel"] == p], styles)
            else:
                marks.x_axis(ax, shown, sheet)
    band = "n = 1 for each point: no interval"
    if several_seeds(shown):
        kind = "mean over seeds"
        if "train_loss_last_tenth" in measures:
            kind += " (geometric for the loss)"
        elif logs and set(measures) <= set(logs):
            kind += " (geometric)"
        band = f"line: {kind}, band: its 95 % Student-t interval"
    what = " and ".join(names[m].split(" (")[0] for m in measures)
    lines = notes(
        tables, shown, f"{what} against the {short_key(shown.x or '')}; {band}", trains_text(tables)
    )
    if beyond:
        lines.append(
            "the panels of the loss are as tall as the points of which no seed is stuck; others leave them"
        )
    return sheet.finish(
        tables.title,
        lines,
        [(colors_name(shown), marks.line_handles(shown.color, styles)), ("", marks.sign_handles(used))],
        key_label(shown.x),
        {m * n: names[measure] for m, measure in enumerate(measures)},
    )


def _panel(
    ax: Axes, part: Any, shown: View, styles: list[Look], limits: tuple[float, float], log: bool
) -> set[str]:
    """Draw one panel: lines with bands; hollow = a seed is stuck; crosses in the strip below = diverged."""
    used: set[str] = set()
    rows = len(shown.color)
    strip = min(0.3, max(0.08, 0.05 * rows)) if (shown.runs["outcome"] == "diverged").any() else 0.0
    ax.set_yscale("log" if log else "linear")
    low, high = limits
    if log:
        bottom = low / (high / low) ** (strip / (1 - strip))
        plain_log(ax.yaxis, low, high)
    else:
        bottom = low - (high - low) * strip / (1 - strip)
        ticks = [
            t for t in MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high) if low <= t <= high
        ]
        ax.set_yticks(ticks)
    ax.set_ylim(bottom, high)
    if strip:
        ax.axhspan(bottom, low, color=PALE, lw=0, zorder=4.5)  # over what leaves the panel
        lost = part.loc[part["diverged"] > 0, "x"]
        if not len(lost) or lost.min() > part["x"].max() / 3:
            ax.text(
                0.015,
                strip / 2,
                "diverged",
                transform=ax.transAxes,
                size=7,
                color=GREY,
                va="center",
                zorder=4.6,
            )
    positions = marks.x_positions(shown)
    if marks.is_log(shown):
        ax.set_xscale("log")
    for code, line in part.groupby("color"):
        look = styles[code]
        x, mean = positions[line["x"].to_numpy()], line["mean"].to_numpy()
        good = np.isfinite(mean)
        ax.plot(x[good], mean[good], color=look.color, ls=look.dashes, zorder=3)
        lower, upper = line["low"].to_numpy(), line["high"].to_numpy()
        if np.isfinite(lower).any():
            lower = np.clip(lower[good], low, None)  # not into the strip of crosses
            upper = np.clip(upper[good], low, None if log or mean[good].max() > 1 else 1.0)
            ax.fill_between(x[good], lower, upper, color=look.color, alpha=0.14, lw=0, zorder=2)
        stuck = line["stuck"].to_numpy() > 0
        for name, chosen, fill in (("trains", good & ~stuck, look.color), ("stuck", good & stuck, "white")):
            if chosen.any():
                used.add(name)
                ax.plot(
                    x[chosen],
                    mean[chosen],
                    ls="none",
                    marker=look.marker,
                    color=look.color,
                    mfc=fill,
                    zorder=4,
                )
        lost, n = line["diverged"].to_numpy(), line["n"].to_numpy()
        height = strip * (rows - code - 0.5) / rows
        for name, chosen, sign in (
            ("diverged", lost == n, "x"),
            ("some diverged", (lost > 0) & (lost < n), "+"),
        ):
            if chosen.any():
                used.add(name)
                at = np.full(int(chosen.sum()), height)
                where = ax.get_xaxis_transform()
                ax.plot(
                    x[chosen],
                    at,
                    ls="none",
                    marker=sign,
                    ms=3.8,
                    mew=1.1,
                    color=look.color,
                    transform=where,
                    zorder=5,
                )
    return used


def _best(ax: Axes, part: Any, best: Any, styles: list[Look]) -> set[str]:
    """Ring each variant's best rate; where the grid ends there, put an arrow that points beyond."""
    used = set()
    for row in best.itertuples():
        line = part[(part["color"] == row.color) & np.isclose(part["rate"], row.rate)]
        if not len(line) or not np.isfinite(line["mean"].iloc[0]) or not row.trains:
            continue
        sign = {"": "o", "high": ">", "low": "<"}[row.edge]
        used.add("edge" if row.edge else "best")
        color = styles[row.color].color
        ax.plot(row.rate, line["mean"].iloc[0], marker=sign, ms=9, mfc="none", mew=1.2, color=color, zorder=5)
    return used


FIGURES = (
    FigureKind("rate", "final accuracy and loss against the learning rate, for each variant", applies, draw),
)
