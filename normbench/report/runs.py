"""All runs of an experiment: a table that sorts and filters, and the curve of each run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from normbench.analysis.tables import Tables
from normbench.analysis.variants import levels, short_key, variant_keys
from normbench.counts import counted
from normbench.plots.chart import Axis, Chart, Grid, Place
from normbench.plots.figures.convergence import measured
from normbench.plots.over_key import accuracy_column
from normbench.plots.style import styles_of
from normbench.report.canvas import Canvas, Detail, Size
from normbench.report.shared import Shared

POINTS = 40_000  # of all curves together
LEAST, MOST = 8, 60  # points of one curve


@dataclass(frozen=True)
class RunTable:
    """The table of the runs: heads, whether each column has numbers, and the cells of each row."""

    heads: list[str]
    numeric: list[bool]
    rows: list[list[str]]


def run_table(tables: Tables) -> RunTable:
    """Return the runs in the order of the plan: settings, outcome, and what came out."""
    runs = tables.runs
    accuracy = accuracy_column(tables)
    columns: list[tuple[str, str]] = [("run_id", "run"), ("seed", "seed")]
    columns += [(key, short_key(key)) for key in tables.swept]
    columns += [("outcome", "outcome"), ("steps", "steps")]
    if accuracy is not None:
        columns.append((accuracy, accuracy.replace("_", " ")))
    columns.append(("train_loss_last_tenth", "final training loss"))
    columns.append(("train_seconds", "seconds"))
    heads, numeric, cells = [], [], []
    for name, head in columns:
        values = runs[name].tolist()
        if name == "outcome":
            values = [
                outcome or status for outcome, status in zip(values, runs["status"].tolist(), strict=True)
            ]
        numbers = all(_is_number(value) or value is None for value in values) and name != "run_id"
        heads.append(head)
        numeric.append(numbers)
        cells.append([cell(value) for value in values])
    return RunTable(heads, numeric, [list(row) for row in zip(*cells, strict=True)])


def cell(value: Any) -> str:
    """Return a value of a run as text: five digits, nothing where it is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e6 else f"{value:.5g}"
    return str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def run_curves(tables: Tables, shared: Shared, run: Callable[[int], str | None]) -> Markup | None:
    """Return the training loss of every run against the step, a thin line each; None without curves.

    Args:
        tables: the experiment.
        shared: collects colors and marks.
        run: returns the row of a run, by its position in the tables.
    """
    if not measured(tables, "train_loss"):
        return None
    metrics = tables.metrics[["run", "step", "train_loss"]].rename(
        columns={"step": "x", "train_loss": "mean"}
    )
    metrics = metrics[np.isfinite(metrics["mean"]) & (metrics["mean"] > 0)].sort_values(["run", "x"])
    count = int(metrics["run"].nunique())
    if not count:
        return None
    colors = levels(tables.runs, variant_keys(tables))
    entropy = (
        float(tables.runs["label_entropy"].median()) if tables.runs["label_entropy"].notna().any() else 1.0
    )
    low, high = (float(v) for v in np.quantile(metrics["mean"], [0.0, 1.0]))
    limits = (low / 1.2, min(high, max(5 * entropy, low * 2)) * 1.2)
    x = Axis("step", "step", values=(0.0, float(metrics["x"].max())))
    y = Axis("training loss (nats)", limits=limits, log=True)
    place = Place(0, 0, 0, 0, x, y)
    frame = metrics.assign(panel=0, block=0, mark="run", color=0, low=np.nan, high=np.nan)
    chart = Chart("runs", tables.title, frame, Grid((place,)), colors, "")
    styles = styles_of(colors)
    detail = Detail(max(LEAST, min(MOST, POINTS // count)))
    canvas = Canvas(shared, chart, place, styles, Size(760.0, 300.0), detail, "", run)
    for position, own in metrics.groupby("run", sort=True):
        code = int(colors.codes[int(str(position))])
        color = styles[code].color if colors.keys else styles[0].color
        canvas.line(own["x"].to_numpy(), own["mean"].to_numpy(), color, run=int(str(position)))
    label = (
        f"Training loss of {counted(count, 'run')} against the step, a line each; the table of runs has "
        "their numbers."
    )
    return canvas.svg(label)
