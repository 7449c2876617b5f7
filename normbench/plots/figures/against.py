"""A quantity of the probes against a swept key: internal covariate shift and rate, noise and batch size."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from normbench.analysis.tables import Tables
from normbench.names import NET
from normbench.plots.base import FigureKind, Request, main_axis
from normbench.plots.figures.rate import measured
from normbench.plots.probed import (
    any_measured,
    chosen_layer,
    chosen_quantities,
    chosen_steps,
    named,
    over_steps,
    page_name,
    probe_view,
    rows,
    spans_decades,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


USUAL = ("ics.norm", "weights.v_norm", "weights.effective_rate", "gradient_noise.variance")


def applies(tables: Tables) -> bool:
    """A key is swept, and a probe measured a quantity that is usually shown so."""
    return bool(tables.varied) and any_measured(*USUAL)(tables)


def draw(tables: Tables, request: Request) -> dict[str, Figure]:
    """Draw a page for each quantity, against the rate or the key that `x` names."""
    return {
        page_name("against", quantity): _page(tables, request, quantity)
        for quantity in chosen_quantities(tables, request, USUAL)
    }


def _page(tables: Tables, request: Request, quantity: str) -> Figure:
    shown = probe_view(tables, request, [quantity], x=request.x or main_axis(tables))
    table = tables.layers[tables.layers["quantity"] == quantity]
    whole = request.layer is None and bool((table["layer"] == NET).any())
    layer, called = (NET, "the whole net") if whole else chosen_layer(tables, request, [quantity])
    values, when = _values(rows(tables, shown, [quantity], layer), request, quantity)
    runs = shown.runs.assign(**{quantity: shown.runs["run"].map(values)})
    logs = [quantity] if spans_decades(runs[quantity].to_numpy(float)) else []
    name = f"{named(quantity)}, {when}"
    shown = replace(
        shown, runs=runs, notes=[f"Of {called}; [{quantity}] of layers.csv, {when}", *shown.notes]
    )
    return measured(tables, shown, [quantity], {quantity: name}, logs)


def _values(table: pd.DataFrame, request: Request, quantity: str) -> tuple[pd.Series[float], str]:
    """Return one number for each run, and when it was measured."""
    table = table.drop_duplicates(["run", "step"])  # a run may stand in several panels
    table = table[np.isfinite(table["value"])]
    if request.steps:
        steps = chosen_steps(table, request, 1)[:1]
        return table[table["step"].isin(steps)].set_index("run")["value"], f"at step {steps[0]:,}"
    if over_steps(quantity) == "last":
        return table.sort_values("step").groupby("run")["value"].last(), "at the last measurement"
    return table.groupby("run")["value"].mean(), "mean over the measured steps"


FIGURES = (
    FigureKind(
        "against",
        "a quantity against the rate or another key (--x batch_size --quantity gradient_noise.variance)",
        applies,
        draw,
        probe="ics, weights or gradient_noise",
        any_quantity=True,
    ),
)
