"""What every figure needs: which keys become axis, colour and panels; the sentences under its title."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from normbench.analysis.tables import Tables, setting
from normbench.analysis.variants import (
    Keys,
    Levels,
    levels,
    number,
    refining,
    short_key,
    spread,
    variant_keys,
)
from normbench.errors import NormbenchError, did_you_mean, one_of
from normbench.names import RATE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Request:
    """What the user asked for; None where the figure decides."""

    x: str | None = None
    color: Keys | None = None
    panel: Keys | None = None
    target: float | None = None
    layer: str | None = None  # of what the probes measured: which layer, which quantities, which steps
    quantities: tuple[str, ...] = ()
    steps: tuple[int, ...] = ()


@dataclass(frozen=True)
class FigureKind:
    """A figure: `applies` says whether an experiment's tables make sense of it, `draw` makes its pages.

    `draw` returns file stem -> Figure; most figures have one page. `on_demand`: drawn only when named.
    `probe`: the probe whose quantities it shows, if it shows any. `any_quantity`: it draws whatever quantity
    of layers.csv the user names, even where it does not apply by itself.
    """

    name: str
    summary: str
    applies: Callable[[Tables], bool]
    draw: Callable[[Tables, Request], dict[str, Figure]]
    on_demand: bool = False
    swept_x: bool = True  # whether a swept key can be its horizontal axis
    probe: str = ""
    any_quantity: bool = False


@dataclass(frozen=True)
class Panels:
    """Where each panel stands; `codes`: the panel of each run."""

    keys: Keys
    rows: int
    cols: int
    codes: np.ndarray
    where: tuple[tuple[int, int], ...]
    heads: dict[tuple[int, int], str]
    strips: dict[int, str]

    def __len__(self) -> int:
        return len(self.where)


@dataclass(frozen=True)
class View:
    """The runs as one figure shows them, with the role of each swept key."""

    runs: pd.DataFrame  # perhaps repeated (see `spread`); `run`: label in the tables; `color`, `panel`: codes
    x: str | None
    color: Levels
    panels: Panels
    notes: list[str] = field(default_factory=list)

    @property
    def cell_keys(self) -> Keys:
        """Return the keys that tell groups apart, without the axis."""
        return tuple(dict.fromkeys((*self.color.keys, *self.panels.keys)))


def known_key(tables: Tables, key: str, role: str, also: Sequence[str] = ()) -> str:
    """Return the swept key that the user means; its last part is enough where it is the only one."""
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
    """Give each swept key a role: the request's wish, else the figure's; all keys left over become panels.

    No key in which the runs differ is averaged over, apart from the seed. Unless `refined`, rates that a
    search for the edge tried for single seeds are left out: a line through them would be of other seeds at
    each point.
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
        remarks.append(f"{left_out.sum()} runs that refine the edge of single seeds: in largest_rate alone")
    for key in reversed(chosen):  # one by one: of keys that fix each other the first has to stay
        others = [k for k in chosen if k != key]
        if key not in (panel or ()) and _follows(runs, key, [*color, *others, x]):
            chosen = others
    colors, panels = levels(runs, color), _arrange(runs, tuple(chosen), variant_keys(tables))
    return View(runs.assign(color=colors.codes, panel=panels.codes), x, colors, panels, remarks)


def _follows(runs: pd.DataFrame, key: str, others: Sequence[str | None]) -> bool:
    """Return whether the other keys already fix this one (axes that move together in the sweep)."""
    keys = [k for k in others if k]
    if not keys:
        return runs[key].nunique(dropna=False) == 1
    return bool((runs.groupby(keys, dropna=False)[key].nunique(dropna=False) <= 1).all())


def _arrange(runs: pd.DataFrame, keys: Keys, variant: Keys) -> Panels:
    """One key: panels in reading order. More: one key makes the columns, all the others the rows."""
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
    if len(row) > 8:  # a page of many rows and few columns is too tall to be seen at once
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


def seeds_text(runs: pd.DataFrame, keys: Sequence[str]) -> str:
    """Return `n = 5 seeds`, or the range where cells differ."""
    counts = runs.groupby(
        [k for k in keys if k in runs.columns and k != "seed"] or (lambda _: 0), dropna=False
    )
    low, high = int(counts["seed"].nunique().min()), int(counts["seed"].nunique().max())
    plural = "" if high == 1 else "s"
    return f"n = {high} seed{plural}" if low == high else f"n = {low} to {high} seeds"


def trains_text(tables: Tables) -> str:
    """Return what 'trains' means here."""
    return (
        f"'trains': within {tables.steps} the mean of the last tenth of the training losses is at most "
        f"{number(tables.trains_below)} x label entropy"
    )


def shared_text(tables: Tables) -> str:
    """Return the settings that all runs share: data, architecture, optimiser."""
    shown = ["data.name", "data.train_size", "model.name", "model.depth", "model.width", "model.activation"]
    shown += ["model.norm", "model.norm_position", "optimizer.name", RATE, "data.batch_size"]
    named = {"data.train_size": "{} training images", "data.batch_size": "batch {}", RATE: "rate {}"}
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


def notes(tables: Tables, shown: View, *sentences: str, seeds: bool = True) -> list[str]:
    """Return the lines under a title: what is shown, then what all runs share, then what is left out."""
    keys = tuple(dict.fromkeys((*tables.varied, *shown.cell_keys, *([shown.x] if shown.x else []))))
    first = "; ".join(s for s in sentences if s)
    first = first[:1].upper() + first[1:]
    facts = [shared_text(tables), tables.steps]
    if seeds:
        facts.append(seeds_text(tables.runs[~refining(tables.runs)], keys))
    lines = [first, "; ".join(f for f in facts if f), *shown.notes]
    unknown = int(tables.runs["outcome"].isna().sum())
    if unknown:
        lines.append(f"{unknown} runs have no outcome (pending, interrupted or crashed) and are left out")
    return [line for line in lines if line]


def main_axis(tables: Tables) -> str:
    """Return the key that a horizontal axis shows by default: the rate, else what is no variant."""
    if RATE in tables.varied:
        return RATE
    variant = variant_keys(tables)
    return next((k for k in tables.varied if k not in variant), tables.varied[-1])


def several_seeds(view: View) -> bool:
    """Return whether any group can have an interval."""
    keys = [*view.cell_keys, *([view.x] if view.x and view.x not in view.cell_keys else [])]
    if "seed" in keys:
        return False
    return int(view.runs.groupby(keys or (lambda _: 0), dropna=False)["seed"].nunique().max()) > 1


def key_label(key: str | None) -> str:
    """Return the axis label of a swept key, with its unit where it has one."""
    if key is None:
        return ""
    return "learning rate (per step, mean loss)" if key == RATE else f"{short_key(key)} ({key})"


def colors_name(shown: View) -> str:
    """Return what the colours stand for."""
    return ", ".join(short_key(k) for k in shown.color.keys)
