"""The words of a page: one line under the title, short warnings, and at the foot what all runs share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from normbench.analysis.tables import Tables, setting
from normbench.analysis.variants import number, refining, short_key
from normbench.names import RATE
from normbench.plots.view import View

if TYPE_CHECKING:
    import pandas as pd

BEYOND = "single values far beyond the others are cut off"


def caption(tables: Tables, shown: View, what: str, average: str = "mean", band: bool = True) -> str:
    """Return the line under the title: `Final test accuracy; mean, 95 % interval; n = 5 seeds; 1,000 steps`.

    Args:
        tables: the experiment.
        shown: the runs of the figure.
        what: what the figure shows.
        average: how seeds are averaged; empty: `what` says it.
        band: whether the figure shows an interval where there are several seeds.
    """
    keys = tuple(dict.fromkeys((*tables.varied, *shown.cell_keys, *([shown.x] if shown.x else []))))
    several = shown.several_seeds
    if band:
        spread = f"{average}, 95 % interval" if several else "no interval"
    else:
        spread = f"{average} over seeds" if several and average else ""
    n = seeds_text(tables.runs[~refining(tables.runs)], keys)
    return line(what, spread, n, tables.steps)


def line(*parts: str) -> str:
    """Return the parts that are not empty as one line, with a capital unless it begins with a name."""
    text = "; ".join(part for part in parts if part)
    return text if "." in text.split(" ")[0] else text[:1].upper() + text[1:]


def warnings(tables: Tables, shown: View, *more: str) -> tuple[str, ...]:
    """Return what a reader must know: how runs were chosen, what is left out, then `more`."""
    unknown = int(tables.runs["outcome"].isna().sum())
    left_out = f"{unknown} {_runs(unknown)} without an outcome and left out" if unknown else ""
    return tuple(
        text for text in (*tables.notes, *shown.notes, left_out, crashed_text(tables), *more) if text
    )


def crashed_text(tables: Tables) -> str:
    """Return how many runs crashed, empty if none did."""
    n = int((tables.runs["outcome"] == "crashed").sum())
    return f"{n} crashed {_runs(n)} left out of means; their rates do not train" if n else ""


def lost_text(shown: View) -> str:
    """Return how many runs the means leave out because they diverged."""
    n = int((shown.runs["outcome"] == "diverged").sum())
    return f"{n} diverged {_runs(n)} left out of means and bands" if n else ""


def _runs(n: int) -> str:
    return "run is" if n == 1 else "runs are"


def seeds_text(runs: pd.DataFrame, keys: Sequence[str]) -> str:
    """Return `n = 5 seeds`, or the range where cells differ."""
    counts = runs.groupby(
        [k for k in keys if k in runs.columns and k != "seed"] or (lambda _: 0), dropna=False
    )
    low, high = int(counts["seed"].nunique().min()), int(counts["seed"].nunique().max())
    plural = "" if high == 1 else "s"
    return f"n = {high} seed{plural}" if low == high else f"n = {low} to {high} seeds"


def footer(tables: Tables, outcomes: bool = False) -> str:
    """Return the settings that all runs share and, with `outcomes`, when a run counts as one that trains."""
    trains = f"trains: final loss at most {number(tables.trains_below)} x label entropy" if outcomes else ""
    return "; ".join(part for part in (_shared(tables), trains) if part)


def _shared(tables: Tables) -> str:
    shown = ["data.name", "data.train_size", "model.name", "model.depth", "model.width", "model.activation"]
    shown += ["model.norm", "model.norm_position", "optimizer.name", RATE, "data.batch_size"]
    named = {
        "data.train_size": "{} training images",
        "data.batch_size": "batch {}",
        RATE: "learning rate {}",
    }
    bare = {"data.name", "model.name", "optimizer.name", "model.activation"}
    skip = set(tables.varied)
    parts = []
    extra = [k for k in tables.swept if k not in skip and k not in shown]
    for key in [*shown, *extra]:
        if key in skip:
            continue
        value: Any = tables.runs[key].iloc[0] if key in tables.runs.columns else setting(tables.config, key)
        if value is None or (key == "model.norm_position" and value == "before_activation"):
            continue
        text = number(value)
        parts.append(
            named[key].format(text) if key in named else text if key in bare else f"{short_key(key)} {text}"
        )
    return ", ".join(parts)
