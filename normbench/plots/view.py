"""Which swept keys become the axis, the colors and the panels of a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from normbench.analysis.tables import Tables
from normbench.analysis.variants import (
    Keys,
    Levels,
    levels,
    refining,
    short_key,
    spread,
    variant_keys,
)
from normbench.errors import NormbenchError, did_you_mean, one_of
from normbench.names import RATE

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Request:
    """What the user asked for; None where the figure decides. See `plots.compute`."""

    x: str | None = None
    color: Keys | None = None
    panel: Keys | None = None
    target: float | None = None
    layer: str | None = None
    quantities: tuple[str, ...] = ()
    steps: tuple[int, ...] = ()
    rate: str | float | None = None
    traces: bool = False


@dataclass(frozen=True)
class Panels:
    """How the panels are arranged, one for each combination of the keys."""

    keys: Keys
    rows: int
    cols: int
    codes: np.ndarray  # the panel of each run
    where: tuple[tuple[int, int], ...]  # row and column of each panel
    heads: dict[tuple[int, int], str]
    strips: dict[int, str]

    def __len__(self) -> int:
        return len(self.where)

    @property
    def names(self) -> list[str]:
        """Return each panel's whole name, for pages on which every panel is a row."""
        names = []
        for r, c in self.where:
            parts = [self.strips.get(r, ""), self.heads.get((r, c) if not self.strips else (0, c), "")]
            names.append(", ".join(p for p in parts if p))
        return names


@dataclass(frozen=True)
class View:
    """The runs as one figure shows them, with the role of each swept key.

    `runs` has the columns `run` (position in the tables), `color` and `panel` (codes). A run that belongs
    to several panels has a row for each (see `spread`).
    """

    runs: pd.DataFrame
    x: str | None
    color: Levels
    panels: Panels
    notes: list[str] = field(default_factory=list)  # what the reader must know of the choice of runs

    @property
    def ended(self) -> pd.DataFrame:
        """Return the runs that have an outcome."""
        return self.runs[self.runs["outcome"].notna()]

    @property
    def cell_keys(self) -> Keys:
        """Return the keys of colors and panels."""
        return tuple(dict.fromkeys((*self.color.keys, *self.panels.keys)))

    @property
    def color_name(self) -> str:
        """Return what the colors tell apart."""
        return ", ".join(short_key(key) for key in self.color.keys)

    @property
    def several_seeds(self) -> bool:
        """Return whether any point can have an interval."""
        keys = [*self.cell_keys, *([self.x] if self.x and self.x not in self.cell_keys else [])]
        if "seed" in keys:
            return False
        return int(self.runs.groupby(keys or (lambda _: 0), dropna=False)["seed"].nunique().max()) > 1


def known_key(tables: Tables, key: str, role: str, also: Sequence[str] = ()) -> str:
    """Return the swept key that the user means; its last part is enough if only one key ends so.

    Args:
        tables: the experiment.
        key: what the user wrote.
        role: `x`, `color` or `panel`, for the message.
        also: further words that are allowed.

    Raises:
        NormbenchError: no swept key is meant; the message names them all.
    """
    choices = [*tables.swept, "seed", *also]
    if key in choices:
        return key
    ends = [k for k in choices if k.split(".")[-1] == key]
    if len(ends) == 1:
        return ends[0]
    raise NormbenchError(f"{role}: '{key}' is not swept here; {did_you_mean(key, choices)}{one_of(choices)}")


def view(
    tables: Tables,
    request: Request,
    x: str | None,
    color: Keys | None = None,
    panel: Keys | None = None,
    refined: bool = False,
) -> View:
    """Give each swept key a role. All keys without a role become panels: only the seed is averaged over.

    Args:
        tables: the experiment.
        request: the user's wishes, which come first.
        x: the figure's own horizontal axis.
        color: the figure's own colors; None: the keys of the variants.
        panel: keys that get panels even if other keys fix them.
        refined: keep the rates that a search for the edge tried for single seeds. A line through them
            would be of other seeds at each point.
    """
    x = request.x or x
    color = request.color if request.color is not None else color
    panel = request.panel if request.panel is not None else panel
    if color is None:
        color = tuple(k for k in variant_keys(tables) if k != x and k not in (panel or ()))
    varied = [k for k in tables.varied if k not in color and k != x]
    chosen = [k for k in panel or () if k not in color and k != x]
    chosen += [k for k in varied if k not in chosen]
    runs = tables.runs.assign(run=tables.runs.index.to_numpy(np.int32))
    left_out = refining(runs) & (not refined)
    runs, remarks = spread(runs[~left_out], [k for k in (*chosen, x, *color) if k])
    if left_out.any():
        remarks.append(f"{left_out.sum()} runs that refine the edge of single seeds are left out")
    for key in reversed(chosen):  # one by one: of keys that fix each other, the first stays
        others = [k for k in chosen if k != key]
        if key not in (panel or ()) and _follows(runs, key, [*color, *others, x]):
            chosen = others
    colors, panels = levels(runs, color), _arrange(runs, tuple(chosen), variant_keys(tables))
    return View(runs.assign(color=colors.codes, panel=panels.codes), x, colors, panels, remarks)


def _follows(runs: pd.DataFrame, key: str, others: Sequence[str | None]) -> bool:
    """Return whether the other keys fix this one (axes that move together in the sweep)."""
    keys = [k for k in others if k]
    if not keys:
        return runs[key].nunique(dropna=False) == 1
    return bool((runs.groupby(keys, dropna=False)[key].nunique(dropna=False) <= 1).all())


def _arrange(runs: pd.DataFrame, keys: Keys, variant: Keys) -> Panels:
    """Arrange the panels. One key: in reading order. More: one key makes the columns, the others the rows."""
    if len(keys) < 2:
        found = levels(runs, keys, named=True)
        n = len(found)
        cols = n if n <= 3 else min(8, int(np.ceil(np.sqrt(n * 1.3))))
        where = tuple(divmod(i, cols) for i in range(n))
        heads = dict(zip(where, found.labels, strict=True)) if keys else {}
        return Panels(keys, -(-n // cols), cols, found.codes, where, heads, {})
    sizes = {k: len(levels(runs, (k,))) for k in keys}
    fits = [k for k in keys if sizes[k] <= 8] or list(keys)
    column = next((k for k in fits if k in variant), max(fits, key=lambda k: sizes[k]))
    row = levels(runs, tuple(k for k in keys if k != column), named=True)
    if len(row) > 8:  # a page of many rows and few columns is too tall for a screen
        column = max(fits, key=lambda k: sizes[k])
        row = levels(runs, tuple(k for k in keys if k != column), named=True)
    col = levels(runs, (column,), named=True)
    if 1.5 * len(col) < len(row) <= 8:  # pages are wider than they are tall
        row, col = col, row
    flat = row.codes * len(col) + col.codes
    present, codes = np.unique(flat, return_inverse=True)
    where = tuple(divmod(int(p), len(col)) for p in present)
    heads = {(0, c): text for c, text in enumerate(col.labels)}
    return Panels(keys, len(row), len(col), codes, where, heads, dict(enumerate(row.labels)))


def main_axis(tables: Tables) -> str:
    """Return the key of a horizontal axis by default: the learning rate, else a key that names no variant."""
    if RATE in tables.varied:
        return RATE
    variant = variant_keys(tables)
    return next((k for k in tables.varied if k not in variant), tables.varied[-1])


def key_label(key: str | None) -> str:
    """Return the axis label of a swept key, with its unit if it has one."""
    if key is None:
        return ""
    return "learning rate (per step, mean loss)" if key == RATE else f"{short_key(key)} ({key})"
