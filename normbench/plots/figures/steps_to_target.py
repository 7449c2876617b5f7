"""Steps until a run reaches a target accuracy, each variant at its own best learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from normbench.analysis.tables import Tables
from normbench.analysis.variants import at_best_rate, best_rates, label, levels, number
from normbench.plots.captions import caption, footer, warnings
from normbench.plots.chart import Axis, Chart, Strip
from normbench.plots.figures.convergence import accuracy_measure
from normbench.plots.means import beside
from normbench.plots.slots import CELL, SlotKind, Slots, slot_view
from normbench.plots.view import Request
from normbench.stats.intervals import median_interval

if TYPE_CHECKING:
    import pandas as pd

LADDER = (*(k / 20 for k in range(2, 20)), 0.96, 0.97, 0.98, 0.985, 0.99, 0.995)  # usual targets


class StepsToTarget(SlotKind):
    """Steps to a target accuracy, each variant at its own best learning rate."""

    name: Literal["steps_to_target"] = "steps_to_target"

    def applies(self, tables: Tables) -> bool:
        """Return whether an accuracy was measured more than once in training, on runs that differ."""
        measured = accuracy_measure(tables) is not None
        return measured and bool(tables.varied) and tables.metrics["step"].nunique() > 2

    def compute(self, tables: Tables, request: Request) -> list[Chart]:
        """Return the steps of each seed, and their median with its order-statistic interval."""
        shown = slot_view(tables, request)
        slots = Slots.of(shown)
        runs = shown.runs.assign(place=slots.places)
        runs = runs[runs["outcome"].notna()]
        best, places = best_rates(runs, CELL), levels(runs, CELL)
        measure = accuracy_measure(tables) or "test_accuracy"
        runs, target = first_reached(tables, runs, CELL, request.target)
        frame = _frame(runs, slots, list(places.values))
        intervals = bool(frame.loc[frame["mark"] == "summary", "low"].notna().any())
        name = measure.replace("_", " ")
        edge = ""
        if (best["edge"] != "").any():
            at_edge = [places.values[g] for g in best.loc[best["edge"] != "", "group"]]
            # With the name of the key: a bare 'none' would read as 'no variant'.
            values = [shown.color.values[code] for _, code, _ in at_edge]
            names = dict.fromkeys(label(shown.color.keys, row, named=True) for row in values)
            edge = f"best learning rate at the grid's edge: {', '.join(names)}"
        known = {"lost": "never", "seed": "seed", "summary": "median", "crash": "crash"}
        signs = {"seed"} | {known[mark] for mark in frame["mark"]}
        return [
            Chart(
                stem="steps_to_target",
                title=tables.title,
                frame=frame.assign(slot=slots.width),
                grid=slots.grid(_axis(runs["first"].to_numpy(float), f"steps to {name} {number(target)}")),
                color=shown.color,
                color_name=slots.color_name,
                caption=caption(
                    tables,
                    shown,
                    f"steps to {name} {number(target)}, each at its best learning rate",
                    "median",
                    band=intervals,
                ),
                warnings=warnings(
                    tables, shown, edge, "" if intervals else "no interval of a median below n = 6"
                ),
                footer=footer(tables),
                signs=frozenset(signs),
            )
        ]


def first_reached(
    tables: Tables, runs: pd.DataFrame, keys: Sequence[str], target: float | None
) -> tuple[pd.DataFrame, float]:
    """Return the runs at the best rate of their cell with the step at which each reaches the target.

    Args:
        tables: the experiment.
        runs: of a view, with outcomes.
        keys: that tell the cells apart.
        target: an accuracy; None: `default_target`.

    Returns:
        The runs with the columns `group` (of the keys) and `first` (inf: never, NaN: crashed); the target.
    """
    runs = at_best_rate(runs, keys)
    measure = accuracy_measure(tables) or "test_accuracy"
    metrics = tables.metrics[["run", "step", measure]]
    metrics = metrics[metrics["run"].isin(runs["run"])]
    if target is None:
        target = default_target(runs, metrics, measure)
    first = metrics[metrics[measure] >= np.float32(target)].groupby("run")["step"].min()
    runs = runs.assign(first=runs["run"].map(first).astype(float).fillna(np.inf))
    runs.loc[runs["outcome"] == "crashed", "first"] = np.nan
    return runs, target


def _frame(runs: pd.DataFrame, slots: Slots, places: list[tuple[Any, ...]]) -> pd.DataFrame:
    """Return a row for each seed (`lost`: it never reaches the target; `crash`) and each summary."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for group, part in runs.groupby("group"):
        panel, color, place = places[int(str(group))]
        cell = {"panel": panel, "color": color}
        for seed, step in part[["seed", "first"]].itertuples(index=False):
            mark = "crash" if np.isnan(step) else "lost" if np.isinf(step) else "seed"
            rows.append(
                {**cell, "seed": seed, "x": slots.seed(place, color, seed), "mean": step, "mark": mark}
            )
        one = median_interval(part["first"].dropna().to_numpy())
        ends = {"mean": one.estimate, "low": one.low, "high": one.high}
        rows.append({**cell, "x": slots.summary(place, color), "mark": "summary", **ends})
    columns = ["panel", "color", "seed", "x", "mean", "low", "high", "mark"]
    return pd.DataFrame(rows, columns=columns).assign(block=0)


def default_target(runs: pd.DataFrame, metrics: pd.DataFrame, measure: str) -> float:
    """Return the highest usual accuracy that all seeds of at least half of the variants reach.

    Variants that stay near chance do not count. If none trains, the target is one half.
    """
    runs = runs[runs["outcome"] != "crashed"]
    most = metrics.groupby("run")[measure].max()
    reached = runs["run"].map(most).fillna(0.0).groupby(runs["group"]).min()
    reached = reached[reached >= LADDER[3]]
    if not len(reached):
        return 0.5
    good = [rung for rung in LADDER if (reached >= rung).mean() >= 0.5]
    return good[-1] if good else LADDER[0]


def _axis(first: np.ndarray, name: str) -> Axis:
    """Return the axis of the steps, with a strip for seeds that never reach the target."""
    reached = first[np.isfinite(first)]
    low, high, log = 0.0, 1.0, False
    if len(reached):
        least, most = float(reached.min()), float(reached.max())
        high = most * 1.08 or 1.0
        if least > 0 and most / least > 20:
            low, high, log = least / 1.3, most * 1.3, True
    if len(reached) == len(first):
        return Axis(name, limits=(low, high), log=log, whole=True)
    top = beside(low, high, 0.14, log)[1]
    never = "never" if np.isinf(first).any() else "crashed"
    return Axis(name, limits=(low, top), log=log, whole=True, strip=Strip(high, top, never, "tick"))
