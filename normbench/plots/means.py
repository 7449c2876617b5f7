"""Means over seeds with their intervals, the places on an axis, the limits that show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from normbench.analysis.variants import Levels, best_rates, is_log_axis, levels
from normbench.names import FAILED, OUTCOMES, RATE
from normbench.plots.chart import Axis
from normbench.plots.view import View, key_label
from normbench.stats.intervals import t_quantile

if TYPE_CHECKING:
    import pandas as pd

GROUP = ["panel", "color"]
ENDS = [*OUTCOMES, "crashed"]
MOST_POINTS = {1: 600, 6: 150, 20: 80}  # panels -> points of a line; more would not be visible
SHARE = (0.0, 1.0)  # what a share can be
DECADES = 8  # of a logarithmic axis, around the middle of what it shows


def mean_band(table: pd.DataFrame, by: Sequence[str], value: str, log: bool) -> pd.DataFrame:
    """Return the mean of each group with the ends of its 95 % Student-t interval.

    Vectorized: one grouping of all rows. Values that are not finite are left out.

    Args:
        table: one row for each value.
        by: the columns that make the groups.
        value: the column to average.
        log: average logarithms; values of 0 and below are left out.

    Returns:
        The columns of `by`, mean, low, high and n. The ends are NaN where a group has one value.
    """
    x = table[value].astype("float64")
    x = x.where(np.isfinite(x))
    if log:
        x = np.log(x.where(x > 0))
    result = x.groupby([table[k] for k in by], sort=True).agg(["mean", "std", "count"]).reset_index()
    n = result["count"].to_numpy()
    quantiles = np.array([t_quantile(i) for i in range(int(n.max(initial=0)) + 1)])
    half = quantiles[n] * result["std"].to_numpy() / np.sqrt(np.maximum(n, 1))
    result["low"], result["high"] = result["mean"] - half, result["mean"] + half
    if log:
        with np.errstate(over="ignore"):
            for end in ("mean", "low", "high"):
                result[end] = np.exp(result[end])
    return result.drop(columns="std").rename(columns={"count": "n"})


def thin(table: pd.DataFrame, panels: int) -> pd.DataFrame:
    """Keep at most as many steps as can be seen, among them the first and the last."""
    most = next((points for n, points in reversed(MOST_POINTS.items()) if panels >= n), 600)
    steps = np.unique(table["step"].to_numpy())
    if len(steps) <= most:
        return table
    kept = steps[np.unique(np.linspace(0, len(steps) - 1, most).astype(int))]
    return table[table["step"].isin(kept)]


def by_outcome(runs: pd.DataFrame, by: Sequence[str], value: str, log: bool) -> pd.DataFrame:
    """Return the mean of the runs that did not fail, and how many train, are stuck, diverged and crashed.

    Args:
        runs: one row for each run, with its outcome.
        by: the columns that make the groups.
        value: the column to average.
        log: average logarithms.

    Returns:
        The columns of `by`; mean, low, high; trains, stuck, diverged, crashed and their sum n.
    """
    table = runs.assign(**{word: runs["outcome"] == word for word in ENDS})
    counts = table.groupby(list(by))[ENDS].sum()
    counts["n"] = counts.sum(axis=1)
    # A value measured before a run diverged says nothing about its end.
    table[value] = table[value].where(~table["outcome"].isin(FAILED))
    means = mean_band(table, by, value, log).drop(columns="n")
    return means.merge(counts.reset_index(), on=list(by))


def point_signs(frame: pd.DataFrame) -> frozenset[str]:
    """Return the names of the signs that such points need in a legend."""
    drawn, lost = np.isfinite(frame["mean"]), frame["diverged"]
    signs = {
        "trains": drawn & (frame["stuck"] == 0),
        "stuck": drawn & (frame["stuck"] > 0),
        "diverged": lost == frame["n"],
        "some diverged": (lost > 0) & (lost < frame["n"]),
        "crashed": frame["crashed"] > 0,
    }
    if "best" in frame:
        signs.update(best=frame["best"] == "best", edge=frame["best"].isin(["low", "high"]))
    return frozenset(name for name, used in signs.items() if used.any())


def best_table(shown: View) -> pd.DataFrame:
    """Return the best learning rate of each panel and color, as `best_rates`, with their codes."""
    best = best_rates(shown.runs, GROUP)
    pairs = np.array(levels(shown.runs, GROUP).values, dtype=int).reshape(-1, 2)[best["group"].to_numpy()]
    return best.assign(panel=pairs[:, 0], color=pairs[:, 1])


def x_levels(shown: View) -> Levels:
    """Return the values of the horizontal axis."""
    return levels(shown.runs, (shown.x,) if shown.x else ())


def x_axis(shown: View) -> Axis:
    """Return the horizontal axis of a swept key: logarithmic, or the values in their order."""
    found = x_levels(shown)
    values = [row[0] for row in found.values] if shown.x else []
    if shown.x is not None and is_log_axis(shown.x, values):
        return Axis(key_label(shown.x), "values", log=True, values=tuple(map(float, values)))
    return Axis(key_label(shown.x), "names", (-0.5, len(found) - 0.5), names=found.labels)


def x_positions(shown: View) -> np.ndarray:
    """Return the place of each value of the axis: the value on a logarithmic axis, else 0, 1, 2, ..."""
    axis = x_axis(shown)
    return np.array(axis.values) if axis.log else np.arange(len(axis.names), dtype=float)


def out_of_sight(values: np.ndarray) -> np.ndarray:
    """Return which values a logarithmic axis leaves out: beyond `DECADES` around their median."""
    above = values > 0
    decades = np.log10(values, where=above, out=np.zeros(len(values)))
    middle = np.median(decades[above]) if above.any() else 0.0
    return np.asarray(above & (np.abs(decades - middle) > DECADES / 2))


def value_limits(
    table: pd.DataFrame, log: bool, possible: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[float, float]:
    """Return limits that hold all means and, unless they are far wider than these, the intervals.

    An axis does not go on beyond the `possible` values.
    """
    means = table["mean"].to_numpy(float)
    means = means[np.isfinite(means)]
    if not len(means):
        return (0.1, 10.0) if log else (0.0, 1.0)
    ends = table[["low", "high"]].to_numpy(float).ravel()
    ends = ends[np.isfinite(ends)]
    if log:
        low, high = means.min(), means.max()
        if len(ends):
            low, high = max(ends.min(), low / 3), min(ends.max(), high * 3)
        room = (high / low) ** 0.05 * 1.03
        return float(low / room), float(high * room)
    low, high = means.min(), means.max()
    spread = max(high - low, 0.02)
    if len(ends):
        low, high = max(ends.min(), low - spread / 3), min(ends.max(), high + spread / 3)
    least, most = possible
    return max(least, float(low - 0.05 * spread)), min(most, float(high + 0.05 * spread))


def beside(low: float, high: float, share: float, log: bool) -> tuple[float, float]:
    """Return where an axis ends if a strip for what has no value is added below it, or above it.

    Args:
        low: where the axis begins without a strip.
        high: where it ends.
        share: of the whole axis that the strip takes.
        log: whether the axis is logarithmic.
    """
    room = share / (1 - share)
    if log:
        return low / (high / low) ** room, high * (high / low) ** room
    return low - (high - low) * room, high + (high - low) * room


def over_lr(shown: View) -> bool:
    """Return whether the horizontal axis is the learning rate."""
    return shown.x == RATE
