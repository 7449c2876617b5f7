"""Steps until a run reaches a target accuracy, each variant at its own best rate; never is infinite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from normbench.analysis.tables import Tables
from normbench.analysis.variants import best_rates, label, levels, number, score
from normbench.names import RATE
from normbench.plots import marks
from normbench.plots.base import FigureKind, Request, colors_name, key_label, notes, several_seeds
from normbench.plots.dots import Slots, slot_view, strip, summary
from normbench.plots.figures.convergence import accuracy_measure
from normbench.plots.style import looks, plain_log
from normbench.stats.intervals import median_interval

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

LADDER = (
    *(k / 20 for k in range(2, 20)),
    0.96,
    0.97,
    0.98,
    0.985,
    0.99,
    0.995,
)  # accuracies one would aim at


def applies(tables: Tables) -> bool:
    """An accuracy was measured more than once while training, on runs that differ."""
    return (
        accuracy_measure(tables) is not None and bool(tables.varied) and tables.metrics["step"].nunique() > 2
    )


def draw(tables: Tables, request: Request) -> dict[str, Figure]:
    """Draw the steps of each seed, and their median with its order-statistic interval."""
    shown = slot_view(tables, request)
    slots, styles = Slots(shown), looks(shown.color)
    runs = shown.runs.assign(x=marks.x_levels(shown).codes if not slots.own_axis else shown.runs["color"])
    runs = runs[runs["outcome"].notna()]
    keys = ("panel", "color", "x")
    best = best_rates(runs, keys)
    places = levels(runs, keys)
    runs = runs.assign(group=places.codes).merge(best[["group", "rate", "edge"]], on="group")
    if RATE in runs.columns:
        runs = runs[runs[RATE] == runs["rate"]]
    measure = accuracy_measure(tables) or "test_accuracy"
    metrics = tables.metrics[["run", "step", measure]]
    metrics = metrics[metrics["run"].isin(runs["run"])]
    target = request.target if request.target is not None else default_target(runs, metrics, measure)
    first = metrics[metrics[measure] >= np.float32(target)].groupby("run")["step"].min()
    runs = runs.assign(first=runs["run"].map(first).fillna(np.inf))
    reached = runs.loc[np.isfinite(runs["first"]), "first"]
    low, high, log = _limits(reached)
    never = bool(np.isinf(runs["first"]).any())
    top = high * (high / low) ** 0.16 if log else high + 0.16 * (high - low)
    top = top if never else high
    sheet = slots.sheet(shown)
    for _, _, ax in sheet.panels():
        ax.set_yscale("log" if log else "linear")
        ax.set_ylim(low, top)
        if log:
            plain_log(ax.yaxis, low, high)
        else:
            ax.set_yticks([t for t in ax.get_yticks() if low <= t <= high])
        slots.label(ax, sheet)
        if never:
            strip(ax, high, top, "never")
    used = {"seed", "median"}
    middle = float(np.sqrt(high * top)) if log else (high + top) / 2
    enough = False
    for group, part in runs.groupby("group"):
        panel, color, x = places.values[int(str(group))]
        ax, look = sheet.at(*slots.where[panel]), styles[color]
        for seed, step in part[["seed", "first"]].itertuples(index=False):
            at = slots.seed(x, color, seed)
            if np.isinf(step):
                used.add("never")
                ax.plot(at, middle, "x", color=look.color, ms=slots.size, mew=1.1, zorder=4)
            else:
                ax.plot(
                    at, step, look.marker, color=look.color, mfc="white", ms=slots.size, mew=0.9, zorder=4
                )
        interval = median_interval(part["first"].to_numpy())
        enough |= bool(np.isfinite(interval.low))
        summary(ax, slots.summary(x, color), interval, look.color, middle, slots.size)
        if np.isinf(interval.estimate):
            ax.plot(
                slots.summary(x, color),
                middle,
                marker="_",
                color=look.color,
                ms=1.8 * slots.size,
                mew=2.2,
                zorder=5,
            )
    band = (
        "interval: 95 % by order statistics"
        if enough
        else "n < 6: too few seeds for a 95 % interval of a median"
    )
    if not several_seeds(shown):
        band = "n = 1: no interval"
    chosen = (
        "asked for" if request.target is not None else "the highest that at least half of the variants reach"
    )
    name = measure.replace("_", " ")
    lines = notes(tables, shown, f"steps until the {name} reaches {number(target)} ({chosen}); {band}")
    every = np.diff(np.unique(tables.metrics["step"].to_numpy()))
    lines.append(
        f"each variant at its own best rate (best mean {score(runs)[1]} over seeds); measured every "
        + (
            f"{int(every[0])} steps"
            if len(set(every.tolist())) == 1
            else f"{every.min()} to {every.max()} steps"
        )
    )
    if (best["edge"] != "").any():
        where = [places.values[g] for g in best.loc[best["edge"] != "", "group"]]
        # By its key's name too: a bare 'none' would read as 'no variant'.
        colors = shown.color
        names = dict.fromkeys(label(colors.keys, colors.values[code], named=True) for _, code, _ in where)
        lines.append(f"best rate at the grid's edge, where better ones may lie beyond: {', '.join(names)}")
    handles = [] if slots.own_axis else marks.line_handles(shown.color, styles)
    return {
        "steps_to_target": sheet.finish(
            tables.title,
            lines,
            [(colors_name(shown), handles), ("", marks.sign_handles(used))],
            colors_name(shown) if slots.own_axis else key_label(shown.x),
            f"steps to {name} {number(target)}",
        )
    }


def default_target(runs: pd.DataFrame, metrics: pd.DataFrame, measure: str) -> float:
    """Return the highest usual accuracy that all seeds of at least half of the groups reach.

    Groups that stay near chance do not count; where none trains it is one half.
    """
    most = metrics.groupby("run")[measure].max()
    reached = runs["run"].map(most).fillna(0.0).groupby(runs["group"]).min()
    reached = reached[reached >= LADDER[3]]
    if not len(reached):
        return 0.5
    good = [rung for rung in LADDER if (reached >= rung).mean() >= 0.5]
    return good[-1] if good else LADDER[0]


def _limits(reached: pd.Series) -> tuple[float, float, bool]:
    if not len(reached):
        return 0.0, 1.0, False
    least, most = float(reached.min()), float(reached.max())
    if least > 0 and most / least > 20:
        return least / 1.3, most * 1.3, True
    return 0.0, most * 1.08 or 1.0, False


FIGURES = (
    FigureKind("steps_to_target", "steps to a target accuracy, each at its own best rate", applies, draw),
)
