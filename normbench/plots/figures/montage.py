"""Curves as small multiples over any two swept keys: `panel` makes the rows, `x` the columns."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from normbench.analysis.tables import Tables
from normbench.analysis.variants import levels, variant_keys
from normbench.errors import NormbenchError
from normbench.names import RATE
from normbench.plots.base import FigureKind, Panels, Request, View, view
from normbench.plots.figures.convergence import accuracy_measure, page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_PAGES = 12
MOST_PANELS = 120


def applies(tables: Tables) -> bool:
    """Two keys are swept, and curves were measured."""
    return len(tables.varied) > 1 and len(tables.metrics) > 0


def draw(tables: Tables, request: Request) -> dict[str, Figure]:
    """Draw test accuracy (or training loss) for each pair of values; other keys make pages of their own."""
    keys = list(tables.varied)
    variant = variant_keys(tables)
    asked = [*(request.panel or ()), *(request.color or ())]
    free = [k for k in keys if k not in asked]
    x = request.x or (RATE if RATE in free else free[-1] if free else keys[-1])
    rest = [k for k in free if k != x]
    plain = [k for k in rest if k not in variant]
    first = "model.depth" if "model.depth" in plain else next(iter(plain or rest or keys))
    rows = request.panel or (first,)
    color = request.color if request.color is not None else tuple(k for k in variant if k not in (x, *rows))
    shown = view(tables, Request(None, color, (*rows, x)), None)
    pages = levels(shown.runs, tuple(k for k in shown.panels.keys if k not in (*rows, x)), named=True)
    if len(pages) > MOST_PAGES:
        raise NormbenchError(
            f"montage: {len(pages)} pages, one for each {', '.join(pages.keys)}; at most {MOST_PAGES}: "
            "name one of these keys as panel, or several with commas"
        )
    measure = accuracy_measure(tables) or "train_loss"
    drawn = {}
    for i, name in enumerate(pages.labels):
        part = replace(shown, runs=shown.runs[pages.codes == i])
        stem = "montage" + (f"_{re.sub(r'[^A-Za-z0-9.]+', '-', name).strip('-')}" if pages.keys else "")
        title = tables.title + (f" ({name})" if pages.keys else "")
        drawn[stem] = page(tables, _grid(part, rows, x), measure, "step", title)
    return drawn


def _grid(shown: View, rows: tuple[str, ...], x: str) -> View:
    """Put each value of the rows' key into a row and each of the columns' key into a column."""
    runs = shown.runs
    row, col = levels(runs, rows, named=True), levels(runs, (x,), named=True)
    if len(row) * len(col) > MOST_PANELS:
        raise NormbenchError(
            f"montage: {len(row)} x {len(col)} panels; at most {MOST_PANELS} stay readable: choose other "
            "keys for x (columns) and panel (rows)"
        )
    flat = row.codes * len(col) + col.codes
    present, codes = np.unique(flat, return_inverse=True)
    heads = {(0, c): text.replace("learning rate", "rate") for c, text in enumerate(col.labels)}
    panels = Panels(
        (*rows, x),
        len(row),
        len(col),
        codes,
        tuple(divmod(int(p), len(col)) for p in present),
        heads,
        dict(enumerate(row.labels)),
    )
    return replace(shown, runs=runs.assign(panel=codes), panels=panels)


FIGURES = (
    FigureKind("montage", "curves as small multiples over any two swept keys", applies, draw, on_demand=True),
)
