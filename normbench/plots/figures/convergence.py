"""Curves against the step, a panel for each variant."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from normbench.analysis.tables import Tables
from normbench.analysis.variants import number, variant_keys
from normbench.errors import NormbenchError
from normbench.names import RATE
from normbench.plots import marks
from normbench.plots.captions import caption, footer, warnings
from normbench.plots.chart import Axis, Chart, Grid, Strip, marked
from normbench.plots.kind import FigureKind
from normbench.plots.means import beside, mean_band, thin
from normbench.plots.one_rate import best_view, equal_view
from normbench.plots.view import Request, View, view

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from normbench.plots.style import Look

NAMES = {
    "train_loss": "training loss (nats)",
    "test_accuracy": "test accuracy (share)",
    "val_accuracy": "validation accuracy (share)",
    "train_accuracy": "training accuracy (share)",
}

RINGS = 5  # along a curve of stuck seeds, to tell it from that of the seeds that train


def accuracy_measure(tables: Tables) -> str | None:
    """Return the accuracy that was measured in training: on test images, else validation, else training."""
    names = (f"{part}_accuracy" for part in ("test", "val", "train"))
    return next((name for name in names if measured(tables, name)), None)


def measured(tables: Tables, name: str) -> bool:
    """Return whether the curves hold at least one finite value of a measure."""
    return bool(np.isfinite(tables.metrics[name]).any())


class Curves(FigureKind):
    """Curves of all runs against the step."""

    swept_x: ClassVar[bool] = False
    markers: ClassVar[bool] = False
    traces: ClassVar[bool] = True

    def draw_on(self, ax: Axes, part: pd.DataFrame, look: Look) -> None:
        """Draw means with bands, rings on those of stuck seeds, diverged runs thin with their ends."""
        by_mark = dict(iter(part.groupby("mark")))
        means = [
            (look.of(own["color"].iloc[0]), own)
            for name in ("trains", "stuck")
            if name in by_mark
            for _, own in by_mark[name].groupby("color")
        ]
        marks.lines_and_bands(ax, sorted(means, key=lambda one: one[1]["color"].iloc[0]))
        if "stuck" in by_mark:
            for code, own in by_mark["stuck"].groupby("color"):
                few = own.iloc[np.unique(np.linspace(0, len(own) - 1, RINGS).round().astype(int))]
                rings: dict[str, Any] = {"ls": "none", "marker": "o", "ms": 3.2, "mfc": "white", "mew": 0.9}
                ax.plot(few["x"], few["mean"], color=look.of(code).color, zorder=3.5, **rings)
        if "trace" in by_mark:
            seeds = by_mark["trace"].groupby(["run", "color"])
            marks.thin_lines(ax, [(look.of(own["color"].iloc[0]), own) for _, own in seeds], 0.5, 0.45)
        if "lost" in by_mark:
            runs = by_mark["lost"].groupby(["run", "color"])
            marks.thin_lines(ax, [(look.of(own["color"].iloc[0]), own) for _, own in runs])
        if "end" in by_mark:
            for (color, height), own in by_mark["end"].groupby(["color", "height"]):
                at = np.full(len(own), height)
                marks.in_strip(ax, own["x"].to_numpy(float), at, "x", look.of(color).color, 3.4)


class Convergence(Curves):
    """Training loss against the step, a line for each learning rate."""

    name: Literal["convergence"] = "convergence"

    one_rate: ClassVar[bool] = True

    def applies(self, tables: Tables) -> bool:
        """Return whether there are training curves."""
        return measured(tables, "train_loss")

    def compute(self, tables: Tables, request: Request) -> list[Chart]:
        """Return the curves of the training loss."""
        return [_page(tables, request, self.name, "train_loss")]


class ConvergenceAccuracy(Curves):
    """Test accuracy against the step, a line for each learning rate."""

    name: Literal["convergence_accuracy"] = "convergence_accuracy"

    on_demand: ClassVar[bool] = True
    one_rate: ClassVar[bool] = True

    def applies(self, tables: Tables) -> bool:
        """Return whether there are curves of some accuracy."""
        return accuracy_measure(tables) is not None

    def compute(self, tables: Tables, request: Request) -> list[Chart]:
        """Return the curves of the test accuracy (else validation, else training)."""
        return [_page(tables, request, self.name, accuracy_measure(tables) or "train_accuracy")]


def _page(tables: Tables, request: Request, stem: str, measure: str) -> Chart:
    if request.x not in (None, "step", "epoch"):
        raise NormbenchError(f"x: '{request.x}' cannot be the axis of curves; one of: step, epoch")
    variant = variant_keys(tables)
    color = (RATE,) if RATE in tables.varied else variant
    panel = request.panel if request.panel is not None else tuple(k for k in variant if k not in color)
    if request.rate is not None:
        shown, at = _at_one_rate(tables, request)
    else:
        shown, at = view(tables, Request(None, request.color, panel), None, color), ""
    return curves(tables, shown, measure, request.x or "step", stem, tables.title, at, request.traces)


def _at_one_rate(tables: Tables, request: Request) -> tuple[View, str]:
    """Return the variants as colors of the same panel, each at its best rate or all at the given one."""
    wish = Request(None, request.color, request.panel)
    rate = request.rate
    if isinstance(rate, float):
        return equal_view(tables, wish, rate, None, None), f", all at learning rate {number(rate)}"
    best = best_view(tables, wish, None, None, None)
    shown = replace(best.shown, notes=[*best.shown.notes, *best.notes])
    return shown, ", each at its best learning rate"


def curves(
    tables: Tables,
    shown: View,
    measure: str,
    axis: str,
    stem: str,
    title: str,
    at: str = "",
    traces: bool = False,
) -> Chart:
    """Return the curves of a view as a chart.

    Args:
        tables: the experiment.
        shown: the runs, with the roles of their keys.
        measure: a column of metrics.csv.
        axis: `step` or `epoch`.
        stem: of the file.
        title: of the page.
        at: which learning rates are shown, for the caption; empty: all.
        traces: show each seed, too.

    Returns:
        Marks `trains` and `stuck`: mean curves of the seeds that end so; `lost`: single diverged runs (`run`,
        `mean`); `end`: where these diverged (`x`, and `height` in the strip); `trace`: all other single runs,
        if they are wanted.
    """
    log = measure.endswith("loss")
    means, single = _curves(tables, shown, measure, axis, log)
    is_lost = single.pop("lost")
    lost, traced = single[is_lost], single[~is_lost & traces]
    known = shown.runs["label_entropy"].dropna()
    entropy = float(known.median()) if len(known) else np.nan
    low, high = _limits(np.r_[means["mean"], traced["mean"]], log, entropy)
    ends = _ends(tables, shown, axis)
    colors = np.unique(ends["color"])
    share = min(0.24, max(0.1, 0.035 * len(colors) + 0.02)) if len(colors) else 0.0
    ends["height"] = 1 - share * (np.searchsorted(colors, ends["color"]) + 0.5) / max(1, len(colors))
    end = max(_last(tables, axis), float(ends["x"].max()) if len(ends) else 0.0)
    strip, top = None, high
    if share:
        top = beside(low, high, share, log)[1]
        strip = Strip(high, top, "diverged", "right" if ends["x"].max() < 0.6 * end else "")
    level = tables.trains_below * entropy if measure == "train_loss" and np.isfinite(entropy) else None
    parts = {
        "trains": means[~means["stuck"]],
        "stuck": means[means["stuck"]],
        "trace": traced,
        "lost": lost,
        "end": ends,
    }
    stuck = bool(means["stuck"].any())
    signs = {"threshold": level is not None, "lost": bool(len(ends)), "curve": stuck, "stuck curve": stuck}
    signs["trace"] = bool(len(traced))
    average = "geometric mean" if log else "mean"
    what = NAMES[measure].split(" (")[0]
    beyond = f"losses above {number(high)} are cut off" if log and (means["mean"] > high).any() else ""
    return Chart(
        stem=stem,
        title=title,
        frame=marked(parts, block=0),
        grid=Grid.of_panels(
            shown.panels,
            Axis(axis, "step", values=(0.0, end), whole=axis == "step"),
            Axis(NAMES[measure], limits=(low, top), log=log, level=level, strip=strip),
        ),
        color=shown.color,
        color_name=shown.color_name,
        caption=caption(tables, shown, f"{what} against the {axis}{at}", average),
        warnings=warnings(tables, shown, beyond),
        footer=footer(tables, outcomes=True),
        signs=frozenset(name for name, used in signs.items() if used),
    )


def _curves(
    tables: Tables, shown: View, measure: str, axis: str, log: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the mean curves of the runs that did not diverge, and all single curves, with `lost` or not."""
    runs = shown.runs[["run", "panel", "color", "outcome"]]
    metrics = tables.metrics[["run", "step", "epoch", measure]]
    metrics = thin(metrics[np.isfinite(metrics[measure].to_numpy())], len(shown.panels))
    runs = runs[runs["outcome"] != "crashed"]
    lost = (runs["outcome"] == "diverged").to_numpy()
    # Seeds that train and seeds that are stuck get a line each: no run has a curve like their common mean.
    kept = runs[~lost].assign(stuck=(runs["outcome"] == "stuck")[~lost])
    table = metrics.merge(kept[["run", "panel", "color", "stuck"]], on="run")
    by = ["panel", "color", "stuck", "step"]
    means = mean_band(table, by, measure, log)
    epochs = table.groupby(by)["epoch"].mean().to_numpy(float)
    means["x"] = epochs if axis == "epoch" else means["step"].astype(float)
    own = runs[["run", "panel", "color"]].assign(lost=lost)
    single = metrics.merge(own, on="run").sort_values(["run", "step"])
    single = single.rename(columns={measure: "mean"}).assign(x=single[axis].astype(float))
    return means, single[["run", "panel", "color", "x", "mean", "lost"]]


def _limits(values: np.ndarray, log: bool, entropy: float) -> tuple[float, float]:
    """Return limits that show what learns: losses far above the label entropy may leave the panel."""
    values = values[np.isfinite(values)]
    if not log:
        return (0.0, 1.0) if not len(values) or values.max() > 0.5 else (0.0, float(values.max() * 1.15))
    usual = entropy if np.isfinite(entropy) else 2.3
    if not len(values):
        return usual / 10, usual * 5
    low = max(float(values.min()) / 1.3, 1e-6)
    return min(low, usual / 4), max(usual * 3, min(float(np.quantile(values, 0.98)) * 1.3, usual * 10))


def _last(tables: Tables, axis: str) -> float:
    """Return the last step or epoch of all curves."""
    column = tables.metrics[axis]
    return float(column.max()) if len(column) and np.isfinite(column.max()) and column.max() > 0 else 1.0


def _ends(tables: Tables, shown: View, axis: str) -> pd.DataFrame:
    """Return where on the axis each diverged run of a view ends."""
    lost = shown.runs[shown.runs["outcome"] == "diverged"]
    at = lost["diverged_at_step"].fillna(0).to_numpy(float)
    if axis == "epoch" and len(tables.metrics):
        later = tables.metrics[tables.metrics["step"] > 0]
        at = at * (float((later["epoch"] / later["step"]).median()) if len(later) else 0.0)
    return lost[["run", "panel", "color"]].assign(x=at)
