"""The largest learning rate that trains, by variant and depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from normbench.analysis.tables import Tables
from normbench.analysis.variants import edges, levels, refining
from normbench.names import RATE
from normbench.plots.captions import caption, footer, warnings
from normbench.plots.chart import Axis, Chart, Strip
from normbench.plots.slots import CELL, SlotKind, Slots, slot_view
from normbench.plots.view import Request
from normbench.stats.outcome import Edge, edge_interval

if TYPE_CHECKING:
    import pandas as pd


class LargestRate(SlotKind):
    """Largest learning rate that trains, by variant and depth."""

    name: Literal["largest_rate"] = "largest_rate"

    def applies(self, tables: Tables) -> bool:
        """Return whether there are at least three learning rates and some run ended."""
        return (
            RATE in tables.runs.columns
            and tables.runs[RATE].nunique() > 2
            and bool(tables.runs["outcome"].notna().any())
        )

    def compute(self, tables: Tables, request: Request) -> list[Chart]:
        """Return for each seed where its rates stop training and where runs crashed, and the mean."""
        shown = slot_view(tables, request, refined=True)
        slots = Slots.of(shown)
        runs = shown.runs.assign(place=slots.places)
        searched = refining(runs)
        rates = np.array(sorted(runs.loc[~searched, RATE].dropna().unique()), dtype=float)
        step = float(np.median(rates[1:] / rates[:-1])) if len(rates) > 1 else 3.0
        beyond = rates[-1] * step  # where an arrow up is drawn
        frame = _frame(runs, slots, beyond)
        found = set(frame["mark"])
        # Room for what has no value: below for 'no rate', above for 'up to the last rate'.
        span = np.log10(rates[-1] / rates[0]) or 1.0
        low = float(rates[0] / 10 ** (0.03 * span))
        bottom = float(low / 10 ** (0.12 * span)) if "lost" in found else low
        top = float((beyond if "open" in found else rates[-1]) * 10 ** (0.04 * span))
        strip = Strip(bottom, low, "no rate", "tick") if "lost" in found else None
        y = Axis(
            "largest learning rate that trains",
            "values",
            (bottom, top),
            log=True,
            values=tuple(rates.tolist()),
            strip=strip,
        )
        names = {
            "seed": "seed",
            "open": "open",
            "lost": "no rate",
            "hole": "hole",
            "summary": "mean",
            "crash": "crash",
        }
        further = "each seed has a search between its largest that trains and the next"
        grid = f"{len(rates)} rates from {rates[0]:g} to {rates[-1]:g}" + ", then searched" * bool(
            searched.any()
        )
        return [
            Chart(
                stem="largest_rate",
                title=tables.title,
                frame=frame.assign(slot=slots.width),
                grid=slots.grid(y),
                color=shown.color,
                color_name=slots.color_name,
                caption=caption(tables, shown, f"largest learning rate that trains, of {grid}", "mean"),
                warnings=warnings(tables, shown, further if searched.any() else ""),
                footer=footer(tables, outcomes=True),
                signs=frozenset({"grid", "seed"} | {names[mark] for mark in found}),
            )
        ]


def _frame(runs: pd.DataFrame, slots: Slots, beyond: float) -> pd.DataFrame:
    """Return a row for each seed and each summary."""
    import pandas as pd

    places = levels(runs, CELL).values
    rows: list[dict[str, Any]] = []
    for group, seeds in edges(runs, CELL).items():
        panel, color, place = places[group]
        cell = {"panel": panel, "color": color}
        for seed, edge in seeds.items():
            x = slots.seed(place, color, seed)
            rows += [{**cell, "seed": seed, "x": x, **mark} for mark in _marks(edge, beyond)]
        if len(seeds) > 1:
            one = edge_interval(list(seeds.values()))
            ends = {"mean": one.estimate, "low": one.low, "high": one.high}
            rows.append({**cell, "x": slots.summary(place, color), "mark": "summary", **ends})
    crashed = runs.loc[runs["outcome"] == "crashed", [*CELL, "seed", RATE]]
    for panel, color, place, seed, rate in crashed.itertuples(index=False):
        x = slots.seed(place, color, seed)
        rows.append({"panel": panel, "color": color, "seed": seed, "x": x, "mark": "crash", "mean": rate})
    columns = ["panel", "color", "seed", "x", "mean", "low", "high", "mark"]
    return pd.DataFrame(rows, columns=columns).assign(block=0)


def _marks(edge: Edge | None, beyond: float) -> list[dict[str, Any]]:
    """Return the marks of one seed."""
    if edge is None:
        return [{"mark": "lost"}]
    if np.isinf(edge.next):
        bar = {"mark": "open", "mean": edge.top, "low": edge.top, "high": beyond}
    else:
        bar = {"mark": "seed", "mean": edge.estimate, "low": edge.top, "high": edge.next}
    return [bar, *({"mark": "hole", "mean": rate} for rate in edge.holes)]
