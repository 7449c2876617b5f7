"""A quantity of the probes against a swept key: internal covariate shift and learning rate, say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from normbench.analysis.tables import Tables
from normbench.names import NET
from normbench.plots.chart import Chart
from normbench.plots.over_key import OverKey, over_key
from normbench.plots.probed import (
    aggregate_of,
    any_measured,
    chosen_layer,
    chosen_quantities,
    chosen_steps,
    named,
    page_name,
    probe_view,
    rows,
    spans_decades,
    unitless,
)
from normbench.plots.view import Request, main_axis

if TYPE_CHECKING:
    import pandas as pd

USUAL = ("ics.norm", "weights.v_norm", "weights.effective_rate", "gradient_noise.variance")


class Against(OverKey):
    """A quantity against a swept key (--x batch_size --quantity gradient_noise.variance)."""

    name: Literal["against"] = "against"

    probe: ClassVar[str] = "ics, weights or gradient_noise"
    any_quantity: ClassVar[bool] = True

    def applies(self, tables: Tables) -> bool:
        """Return whether a key is swept and a probe measured a quantity that is usually shown so."""
        return bool(tables.varied) and any_measured(tables, *USUAL)

    def compute(self, tables: Tables, request: Request) -> list[Chart]:
        """Return a page for each quantity, against the learning rate or the key that `x` names."""
        return [_page(tables, request, name) for name in chosen_quantities(tables, request, USUAL)]


def _page(tables: Tables, request: Request, quantity: str) -> Chart:
    shown = probe_view(tables, request, [quantity], x=request.x or main_axis(tables))
    table = tables.layers[tables.layers["quantity"] == quantity]
    whole = request.layer is None and bool((table["layer"] == NET).any())
    layer, called = (NET, "the whole net") if whole else chosen_layer(tables, request, [quantity])
    values, when = _values(rows(tables, shown, [quantity], layer), request, quantity)
    runs = shown.runs.assign(**{quantity: shown.runs["run"].map(values)})
    logs = [quantity] if spans_decades(runs[quantity].to_numpy(float)) else []
    what = f"{unitless(quantity)} of {called}"
    names = {quantity: f"{named(quantity)}, {when}"}
    stem = page_name("against", quantity)
    return over_key(tables, replace(shown, runs=runs), [quantity], stem, what, names, logs)


def _values(table: pd.DataFrame, request: Request, quantity: str) -> tuple[pd.Series[float], str]:
    """Return one number for each run, and when it was measured."""
    table = table.drop_duplicates(["run", "step"])  # a run may be in several panels
    table = table[np.isfinite(table["value"])]
    if request.steps:
        steps = chosen_steps(table, request, 1)[:1]
        return table[table["step"].isin(steps)].set_index("run")["value"], f"at step {steps[0]:,}"
    if aggregate_of(quantity) == "last":
        return table.sort_values("step").groupby("run")["value"].last(), "at the last measurement"
    return table.groupby("run")["value"].mean(), "mean over the measured steps"
