"""Curves against the step: a line for each learning rate, a panel for each variant, crosses at the ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.ticker import FuncFormatter, MaxNLocator

from normbench.analysis.tables import Tables
from normbench.analysis.variants import number, variant_keys
from normbench.errors import NormbenchError
from normbench.names import RATE
from normbench.plots import marks
from normbench.plots.base import (
    FigureKind,
    Request,
    View,
    colors_name,
    notes,
    several_seeds,
    trains_text,
    view,
)
from normbench.plots.sheet import Sheet
from normbench.plots.style import GREY, PALE, Look, looks, plain_log

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES = {
    "train_loss": "training loss (nats)",
    "test_accuracy": "test accuracy (share)",
    "val_accuracy": "validation accuracy (share)",
    "train_accuracy": "training accuracy (share)",
}


def measured(tables: Tables, name: str) -> bool:
    """Return whether the curves hold at least one finite value of a measure."""
    return bool(np.isfinite(tables.metrics[name]).any())


def applies(tables: Tables) -> bool:
    """There are training curves, or runs that diverged before the first evaluation."""
    return measured(tables, "train_loss")


def accuracy_measure(tables: Tables) -> str | None:
    """Return the accuracy that was measured while training: test, else validation, else training batches."""
    return next(
        (f"{p}_accuracy" for p in ("test", "val", "train") if measured(tables, f"{p}_accuracy")), None
    )


def has_accuracy(tables: Tables) -> bool:
    """There are curves of some accuracy."""
    return accuracy_measure(tables) is not None


def draw(tables: Tables, request: Request) -> dict[str, Figure]:
    """Draw the training loss."""
    return {"convergence": curves(tables, request, "train_loss")}


def draw_accuracy(tables: Tables, request: Request) -> dict[str, Figure]:
    """Draw the test accuracy (else validation, else training)."""
    return {"convergence_accuracy": curves(tables, request, accuracy_measure(tables) or "train_accuracy")}


def curves(tables: Tables, request: Request, measure: str) -> Figure:
    """Draw a measure of all runs against the step, or against the epoch where `x` says so."""
    if request.x not in (None, "step", "epoch"):
        raise NormbenchError(f"x: '{request.x}' cannot be the axis of curves; one of: step, epoch")
    axis = request.x or "step"
    variant = variant_keys(tables)
    color = (RATE,) if RATE in tables.varied else variant
    panel = request.panel if request.panel is not None else tuple(k for k in variant if k not in color)
    wish = Request(None, request.color, panel, request.target)
    shown = view(tables, wish, None, color)
    return page(tables, shown, measure, axis, tables.title)


def page(tables: Tables, shown: View, measure: str, axis: str, title: str) -> Figure:
    """Draw one page of curves for a view whose keys are already chosen."""
    log = measure.endswith("loss")
    panels = shown.panels
    sheet = Sheet(panels.rows, panels.cols, present=set(panels.where))
    sheet.heads, sheet.strips = dict(panels.heads), dict(panels.strips)
    styles = looks(shown.color)
    table, died = _tables(tables, shown, measure, axis, log)
    entropy = (
        float(shown.runs["label_entropy"].median()) if shown.runs["label_entropy"].notna().any() else np.nan
    )
    low, high = _limits(table, log, entropy)
    lost = _lost(tables, shown, axis)
    rows = {int(code): i for i, code in enumerate(sorted(lost["color"].unique()))}
    strip = min(0.24, max(0.1, 0.035 * len(rows) + 0.02)) if rows else 0.0
    top = high * (high / low) ** (strip / (1 - strip)) if log else high + (high - low) * strip / (1 - strip)
    end = max(_end(tables, axis), float(lost["died"].max()) if len(lost) else 0.0)
    used: set[str] = set()
    for p, (r, c) in enumerate(panels.where):
        ax = sheet.at(r, c)
        ax.set_yscale("log" if log else "linear")
        ax.set_ylim(low, top)
        ax.set_xlim(-0.02 * end, end * 1.02)
        if log:
            plain_log(ax.yaxis, low, high)
        else:
            ax.set_yticks([t for t in MaxNLocator(5).tick_values(low, high) if low <= t <= high])
        most = max(2, int(sheet.width / 0.5))
        ax.xaxis.set_major_locator(MaxNLocator(most, integer=True, steps=[1, 2, 5, 10]))
        ax.xaxis.set_major_formatter(FuncFormatter(marks.thousands))
        _lines(ax, table[table["panel"] == p], styles)
        if measure == "train_loss" and np.isfinite(entropy):
            ax.axhline(tables.trains_below * entropy, color=GREY, lw=0.8, ls=(0, (2, 2)), zorder=1)
            used.add("threshold")
        if strip:
            ax.axhspan(high, top, color=PALE, lw=0, zorder=4)  # over the lines that leave the panel
            if lost["died"].max() < 0.6 * end:
                text = ax.text(0.985, 1 - strip / 2, "diverged", size=7, color=GREY, va="center", ha="right")
                text.set(transform=ax.transAxes, zorder=4.1)
        if _diverged(ax, died[died["panel"] == p], lost[lost["panel"] == p], styles, rows, strip):
            used.add("cross")
    band = "one run each: no interval"
    if several_seeds(shown):
        kind = "geometric mean" if log else "mean"
        band = f"line: {kind} over seeds, those that are stuck apart; band: its 95 % Student-t interval"
    what = NAMES[measure].split(" (")[0]
    if measure.startswith("train"):
        what += " (mean over the batches since the last evaluation)"
    lines = notes(tables, shown, f"{what} against the {axis}; {band}", trains_text(tables))
    if log and (table["mean"] > high).any():
        lines.append(f"losses above {number(high)} are beyond the panels")
    return sheet.finish(
        title,
        lines,
        [
            (colors_name(shown), marks.line_handles(shown.color, styles, marker=False)),
            ("", marks.sign_handles(used)),
        ],
        axis,
        NAMES[measure],
    )


def _tables(
    tables: Tables, shown: View, measure: str, axis: str, log: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the mean curves of the runs that did not diverge, and the single curves of those that did."""
    runs = shown.runs[["run", "panel", "color", "outcome"]]
    metrics = tables.metrics[["run", "step", "epoch", measure]]
    metrics = marks.thin(metrics[np.isfinite(metrics[measure].to_numpy())], len(shown.panels))
    lost = (runs["outcome"] == "diverged").to_numpy()
    # Seeds that train and seeds that are stuck get a line each: their mean would be a curve that no run has.
    kept = runs[~lost].assign(stuck=(runs["outcome"] == "stuck")[~lost])
    table = metrics.merge(kept[["run", "panel", "color", "stuck"]], on="run")
    by = ["panel", "color", "stuck", "step"]
    result = marks.mean_band(table, by, measure, log)
    epochs = table.groupby(by)["epoch"].mean().to_numpy()
    result["x"] = epochs if axis == "epoch" else result["step"].astype(float)
    died = metrics.merge(runs.loc[lost, ["run", "panel", "color"]], on="run").rename(
        columns={measure: "value"}
    )
    died = died.sort_values(["run", "step"])
    died["x"] = died[axis].astype(float)
    return result, died


def _limits(table: pd.DataFrame, log: bool, entropy: float) -> tuple[float, float]:
    """Return limits that show what learns: losses far above the label entropy may leave the panel."""
    values = table["mean"].to_numpy()
    values = values[np.isfinite(values)]
    if not log:
        return (-0.02, 1.02) if not len(values) or values.max() > 0.5 else (-0.01, float(values.max() * 1.15))
    usual = entropy if np.isfinite(entropy) else 2.3
    if not len(values):
        return usual / 10, usual * 5
    low = max(float(values.min()) / 1.3, 1e-6)
    return min(low, usual / 4), max(usual * 3, min(float(np.quantile(values, 0.98)) * 1.3, usual * 10))


def _end(tables: Tables, axis: str) -> float:
    column = tables.metrics[axis]
    return float(column.max()) if len(column) and np.isfinite(column.max()) and column.max() > 0 else 1.0


def _lines(ax: Axes, part: pd.DataFrame, styles: list[Look]) -> None:
    lines, bands, colors, dashes, fills = [], [], [], [], []
    for _, line in part.groupby(["color", "stuck"]):
        x, mean = line["x"].to_numpy(), line["mean"].to_numpy()
        look = styles[int(line["color"].iloc[0])]
        lines.append(np.column_stack([x, mean]))
        colors.append(look.color)
        dashes.append(look.dashes)
        lower, upper = line["low"].to_numpy(), line["high"].to_numpy()
        good = np.isfinite(lower)
        if good.sum() > 1:
            ends = np.concatenate([lower[good], upper[good][::-1]])
            bands.append(np.column_stack([np.concatenate([x[good], x[good][::-1]]), ends]))
            fills.append(look.color)
    ax.add_collection(
        PolyCollection(bands, facecolors=fills, alpha=0.15, linewidths=0, zorder=2), autolim=False
    )
    ax.add_collection(
        LineCollection(lines, colors=colors, linestyles=dashes, linewidths=1.3, zorder=3), autolim=False
    )


def _diverged(
    ax: Axes, part: pd.DataFrame, lost: pd.DataFrame, styles: list[Look], rows: dict[int, int], strip: float
) -> bool:
    """Draw diverged runs thin, up to their end; in the strip above, a cross where each one's loss blew up."""
    if not len(lost):
        return False
    pieces = [
        (int(g["color"].iloc[0]), g[["x", "value"]].to_numpy(float))
        for _, g in part.groupby(["run", "color"])
    ]
    colors = [styles[code].color for code, _ in pieces]
    lines = LineCollection(
        [piece for _, piece in pieces], colors=colors, linewidths=0.6, alpha=0.7, zorder=2.5
    )
    ax.add_collection(lines, autolim=False)
    where = ax.get_xaxis_transform()
    for code, row in rows.items():
        at = lost.loc[lost["color"] == code, "died"].to_numpy(float)
        height = np.full(len(at), 1 - strip * (row + 0.5) / len(rows))
        ax.plot(at, height, "x", color=styles[code].color, ms=3.4, mew=0.9, transform=where, zorder=5)
    return True


def _lost(tables: Tables, shown: View, axis: str) -> pd.DataFrame:
    """Return the diverged runs of a view, with the place on the axis where they `died`."""
    lost = shown.runs[shown.runs["outcome"] == "diverged"]
    died = lost["diverged_at_step"].fillna(0).to_numpy(float)
    if axis == "epoch" and len(tables.metrics):
        later = tables.metrics[tables.metrics["step"] > 0]
        died = died * (float((later["epoch"] / later["step"]).median()) if len(later) else 0.0)
    return lost.assign(died=died)


FIGURES = (
    FigureKind(
        "convergence", "training loss against the step, a line for each rate", applies, draw, swept_x=False
    ),
    FigureKind(
        "convergence_accuracy",
        "test accuracy against the step, a line for each rate",
        has_accuracy,
        draw_accuracy,
        on_demand=True,
        swept_x=False,
    ),
)
