"""Curves as small multiples over any two swept keys."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np

from normbench.analysis.tables import Tables
from normbench.analysis.variants import levels, variant_keys
from normbench.errors import NormbenchError
from normbench.names import RATE
from normbench.plots.chart import Chart
from normbench.plots.figures.convergence import Curves, accuracy_measure, curves
from normbench.plots.view import Panels, Request, View, view

MOST_PAGES = 12
MOST_PANELS = 120


class Montage(Curves):
    """Curves as small multiples over any two swept keys: `panel` makes the rows, `x` the columns."""

    name: Literal["montage"] = "montage"

    on_demand: ClassVar[bool] = True
    swept_x: ClassVar[bool] = True

    def applies(self, tables: Tables) -> bool:
        """Return whether two keys are swept and curves were measured."""
        return len(tables.varied) > 1 and len(tables.metrics) > 0

    def compute(self, tables: Tables, request: Request) -> list[Chart]:
        """Return test accuracy (or training loss) for each pair of values; other keys make pages."""
        keys = list(tables.varied)
        variant = variant_keys(tables)
        asked = [*(request.panel or ()), *(request.color or ())]
        free = [k for k in keys if k not in asked]
        x = request.x or (RATE if RATE in free else free[-1] if free else keys[-1])
        rest = [k for k in free if k != x]
        plain = [k for k in rest if k not in variant]
        first = "model.depth" if "model.depth" in plain else next(iter(plain or rest or keys))
        rows = request.panel or (first,)
        color = request.color
        if color is None:
            color = tuple(k for k in variant if k not in (x, *rows))
        shown = view(tables, Request(None, color, (*rows, x)), None)
        pages = levels(shown.runs, tuple(k for k in shown.panels.keys if k not in (*rows, x)), named=True)
        if len(pages) > MOST_PAGES:
            raise NormbenchError(
                f"montage: {len(pages)} pages, one for each {', '.join(pages.keys)}; at most {MOST_PAGES}: "
                "name one of these keys as panel, or several with commas"
            )
        measure = accuracy_measure(tables) or "train_loss"
        charts = []
        for i, name in enumerate(pages.labels):
            part = replace(shown, runs=shown.runs[pages.codes == i])
            stem = "montage" + (f"_{re.sub(r'[^A-Za-z0-9.]+', '-', name).strip('-')}" if pages.keys else "")
            title = tables.title + (f" ({name})" if pages.keys else "")
            charts.append(
                curves(tables, _crossed(part, rows, x), measure, "step", stem, title, "", request.traces)
            )
        return charts


def _crossed(shown: View, rows: tuple[str, ...], x: str) -> View:
    """Put each value of the keys in `rows` into a row and each value of `x` into a column."""
    runs = shown.runs
    row, col = levels(runs, rows, named=True), levels(runs, (x,), named=True)
    if len(row) * len(col) > MOST_PANELS:
        raise NormbenchError(
            f"montage: {len(row)} x {len(col)} panels; at most {MOST_PANELS} stay readable: choose other "
            "keys for x (columns) and panel (rows)"
        )
    flat = row.codes * len(col) + col.codes
    present, codes = np.unique(flat, return_inverse=True)
    where = tuple(divmod(int(p), len(col)) for p in present)
    heads = {(0, c): text.replace("learning rate", "rate") for c, text in enumerate(col.labels)}
    strips = dict(enumerate(row.labels))
    panels = Panels((*rows, x), len(row), len(col), codes, where, heads, strips)
    return replace(shown, runs=runs.assign(panel=codes), panels=panels)
