"""Group means with their intervals; the signs that figures share: hollow = stuck, cross = diverged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.path import Path

from normbench.analysis.variants import Levels, best_rates, is_log_axis, levels
from normbench.names import RATE
from normbench.plots.base import View
from normbench.plots.sheet import Sheet
from normbench.plots.style import GREY, INK, Look, rate_ticks
from normbench.stats.intervals import t_quantile

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

GROUP = ["panel", "color"]
MOST_POINTS = {1: 600, 6: 150, 20: 80}  # panels -> points of a line: more would not be visible
DECADES = 8  # of a logarithmic axis, around the middle of what it shows
BEYOND = "single values far beyond the others leave the panels"
OPEN = Path(
    [(0, -1), (0, 1), (-0.6, 0.3), (0, 1), (0.6, 0.3)], [1, 2, 1, 2, 2]
)  # an arrow up, no variant's sign


def mean_band(table: pd.DataFrame, by: Sequence[str], value: str, log: bool) -> pd.DataFrame:
    """Return mean, low, high and count of `value` for each group: Student-t, on the log scale where asked.

    Vectorised (one grouping of all rows); the ends are NaN where a group has one value.
    """
    x = table[value].astype("float64")
    x = x.where(np.isfinite(x))
    if log:
        x = np.log(x.where(x > 0))
    grouped = x.groupby([table[k] for k in by], sort=True)
    result = grouped.agg(["mean", "std", "count"]).reset_index()
    quantiles = np.array([t_quantile(n) for n in range(int(result["count"].max() if len(result) else 0) + 1)])
    n = result["count"].to_numpy()
    half = quantiles[n] * result["std"].to_numpy() / np.sqrt(np.maximum(n, 1)) if len(result) else np.empty(0)
    result["low"], result["high"] = result["mean"] - half, result["mean"] + half
    if log:
        with np.errstate(over="ignore"):
            for end in ("mean", "low", "high"):
                result[end] = np.exp(result[end])
    return result.drop(columns="std")


def thin(table: pd.DataFrame, panels: int) -> pd.DataFrame:
    """Keep at most as many steps as can be seen; the first and the last stay."""
    most = next((points for n, points in reversed(MOST_POINTS.items()) if panels >= n), 600)
    steps = np.unique(table["step"].to_numpy())
    if len(steps) <= most:
        return table
    kept = steps[np.unique(np.linspace(0, len(steps) - 1, most).astype(int))]
    return table[table["step"].isin(kept)]


def thousands(value: float, _: int | None = None) -> str:
    """Return a step as the label of a tick."""
    return f"{value:,.0f}" if abs(value) < 1e4 else f"{value / 1000:,.0f}k"


def summarise(shown: View, measure: str, log: bool) -> pd.DataFrame:
    """Return for each panel, colour and x: mean over seeds, its interval, outcomes counted."""
    runs = shown.runs[shown.runs["outcome"].notna()]
    x = x_levels(shown)
    table = runs.assign(
        x=x.codes[shown.runs["outcome"].notna().to_numpy()],
        **{word: runs["outcome"] == word for word in ("trains", "stuck", "diverged")},
    )
    by = [*GROUP, "x"]
    counts = table.groupby(by)[["trains", "stuck", "diverged"]].sum()
    counts["n"] = table.groupby(by).size()
    table[measure] = table[measure].where(
        ~table["diverged"]
    )  # what stood there before it diverged says nothing
    result = mean_band(table, by, measure, log).merge(counts.reset_index(), on=by)
    if shown.x == RATE:
        result["rate"] = x_positions(shown)[result["x"].to_numpy()]
    return result


def best_table(shown: View) -> pd.DataFrame:
    """Return the best rate of each panel and colour, as `best_rates` does, with their codes."""
    best = best_rates(shown.runs, GROUP)
    pairs = np.array(levels(shown.runs, GROUP).values, dtype=int).reshape(-1, 2)[best["group"].to_numpy()]
    return best.assign(panel=pairs[:, 0], color=pairs[:, 1])


def x_axis(ax: Axes, shown: View, sheet: Sheet) -> None:
    """Label a horizontal axis that is not the rate: a logarithmic one, or the values in their order."""
    found = x_levels(shown)
    if is_log(shown):
        ax.set_xscale("log")
        rate_ticks(ax.xaxis, [row[0] for row in found.values], sheet.width, sheet.font)
        return
    ax.set_xticks(range(len(found)), found.labels)
    ax.set_xlim(-0.5, len(found) - 0.5)
    ax.grid(False, axis="x")
    sheet.turn_long_labels(found.labels)


def x_levels(shown: View) -> Levels:
    """Return the values of the horizontal axis."""
    return levels(shown.runs, (shown.x,) if shown.x else ())


def is_log(shown: View) -> bool:
    """Return whether the horizontal axis is logarithmic."""
    return shown.x is not None and is_log_axis(shown.x, [row[0] for row in x_levels(shown).values])


def x_positions(shown: View) -> np.ndarray:
    """Return where each value of the axis stands: itself on a log axis, else its place in the order."""
    found = x_levels(shown)
    if is_log(shown):
        return np.array([row[0] for row in found.values], dtype=float)
    return np.arange(len(found), dtype=float)


def out_of_sight(values: np.ndarray) -> np.ndarray:
    """Return which values a logarithmic axis leaves out: beyond `DECADES` around their median."""
    above = values > 0
    decades = np.log10(values, where=above, out=np.zeros(len(values)))
    middle = np.median(decades[above]) if above.any() else 0.0
    return np.asarray(above & (np.abs(decades - middle) > DECADES / 2))


def value_limits(table: pd.DataFrame, log: bool) -> tuple[float, float]:
    """Return limits that hold all means and, unless they are far wider than these, the intervals."""
    means = table["mean"].to_numpy()
    means = means[np.isfinite(means)]
    if not len(means):
        return (0.1, 10.0) if log else (0.0, 1.0)
    ends = table[["low", "high"]].to_numpy().ravel()
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
    if means.min() >= 0 and means.max() <= 1:
        low, high = max(low, 0.0), min(high, 1.0)
    return float(low - 0.05 * spread), float(high + 0.05 * spread)


def line_handles(groups: Levels, styles: Sequence[Look], marker: bool = True) -> list[tuple[Any, str]]:
    """Return the legend's entry for each colour."""
    from matplotlib.lines import Line2D

    if not groups.keys:
        return []
    return [
        (Line2D([], [], color=s.color, ls=s.dashes, marker=s.marker if marker else ""), text)
        for s, text in zip(styles, groups.labels, strict=True)
    ]


def sign_handles(used: Iterable[str]) -> list[tuple[Any, str]]:
    """Return the legend's entries for the signs that a figure uses, in a fixed order."""
    from matplotlib.lines import Line2D

    def sign(**look: Any) -> Line2D:
        return Line2D([], [], **{"ls": "none", "color": INK, **look})

    signs = {
        "trains": (sign(marker="o"), "every seed trains or diverges"),
        "stuck": (sign(marker="o", mfc="white"), "at least one seed is stuck"),
        "diverged": (sign(marker="x", mew=1.4), "every seed diverged"),
        "some diverged": (
            sign(marker="+", mew=1.0, ms=6),
            "some seeds diverged (the line is the others' mean)",
        ),
        "best": (sign(marker="o", mfc="none", ms=9), "best rate"),
        "edge": (
            sign(marker=">", ms=8, mfc="none"),
            "best rate is at the grid's edge: better ones may lie beyond",
        ),
        "threshold": (Line2D([], [], color=GREY, ls=(0, (2, 2)), lw=0.9), "at or below: trains"),
        "cross": (
            sign(marker="x", ls="-", lw=0.7, mew=1.4),
            "diverged run, up to the step where it diverged",
        ),
        "seed": (sign(marker="o", ms=4, mfc="white"), "one seed"),
        "never": (sign(marker="x", mew=1.4), "one seed that never reaches it"),
        "no rate": (sign(marker="x", mew=1.4), "one seed that trains at no rate"),
        "grid": (
            Line2D([], [], color=INK, lw=4, alpha=0.25),
            "from the largest rate that trains to the next rate",
        ),
        "open": (sign(marker=OPEN, ms=9, mfc="none"), "trains up to the last rate"),
        "hole": (sign(marker="+", ms=6), "a rate above that trains again"),
        "mean": (sign(marker="_", ms=11, mew=2), "geometric mean, with its interval that counts the grid"),
        "median": (sign(marker="_", ms=11, mew=2), "median over seeds"),
        "average": (sign(marker="|", ms=9, mew=2), "mean over seeds"),
    }
    wanted = set(used)
    return [entry for name, entry in signs.items() if name in wanted]
