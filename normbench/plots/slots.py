"""Dots of single seeds beside their summary, several variants side by side at each value of the axis."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from normbench.analysis.tables import Tables
from normbench.analysis.variants import Levels, variant_keys
from normbench.names import RATE
from normbench.plots import marks
from normbench.plots.chart import Axis, Chart, Grid, marks_of
from normbench.plots.kind import FigureKind
from normbench.plots.means import x_levels
from normbench.plots.one_rate import without_lr
from normbench.plots.view import Panels, Request, View, key_label, view

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from normbench.plots.style import Look, Style

WIDE = 14  # slots; a panel with more takes the whole width of the page
CELL = ("panel", "color", "place")


@dataclass(frozen=True)
class Slots:
    """Where the dots and the summary of each variant are at each value of the axis."""

    shown: View
    x: Levels  # the values of the axis
    colors: int  # slots at each value
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, shown: View) -> Slots:
        """Return the slots of a view; without another key, the variants themselves are the axis."""
        own = shown.x is None
        seeds = tuple(sorted(shown.runs["seed"].unique().tolist()))
        return cls(shown, shown.color if own else x_levels(shown), 1 if own else len(shown.color), seeds)

    @property
    def own_axis(self) -> bool:
        """Return whether the variants are the axis."""
        return self.shown.x is None

    @property
    def places(self) -> np.ndarray:
        """Return the value of the axis that each run of the view has, as its position."""
        return self.x.codes

    @property
    def width(self) -> float:
        """Return the width of a slot; values of the axis are 1 apart."""
        return 0.5 if self.own_axis else 0.88 / self.colors

    @property
    def color_name(self) -> str:
        """Return the name of the legend of colors; empty where the axis names the variants."""
        return "" if self.own_axis else self.shown.color_name

    def grid(self, y: Axis) -> Grid:
        """Return the panels, below each other if they are wide."""
        names, panels = self.x.labels, self.shown.panels
        label = self.shown.color_name if self.own_axis else key_label(self.shown.x)
        x = Axis(label, "names", (-0.5, len(names) - 0.5), names=names, separated=True)
        if is_wide(len(names), self.width) and not panels.strips:
            panels = _below_each_other(panels)
        return Grid.of_panels(panels, x, y)

    def middle(self, place: float, color: float) -> float:
        """Return the middle of a variant's slot."""
        return place + (0.0 if self.own_axis else (color - (self.colors - 1) / 2) * self.width)

    def seed(self, place: float, color: float, seed: int) -> float:
        """Return where a seed's dot is: beside the others, so that none is hidden; alone, in the middle."""
        if len(self.seeds) == 1:
            return self.middle(place, color)
        return self.middle(place, color) + self.width * (
            -0.37 + 0.5 * self.seeds.index(seed) / (len(self.seeds) - 1)
        )

    def summary(self, place: float, color: float) -> float:
        """Return where the summary is: right of the seeds, as far from the middle as the first of them."""
        return self.middle(place, color) + self.width * 0.37


def _below_each_other(panels: Panels) -> Panels:
    n = len(panels)
    heads = {(i, 0): panels.heads[where] for i, where in enumerate(panels.where) if panels.heads}
    return replace(panels, rows=n, cols=1, where=tuple((i, 0) for i in range(n)), heads=heads)


def slot_view(tables: Tables, request: Request, refined: bool = False) -> View:
    """Return the view for such a figure: depth (else another key) as axis, variants as colors, no rate."""
    variant = request.color if request.color is not None else variant_keys(tables)
    others = [k for k in tables.varied if k not in variant and k != RATE and k not in (request.panel or ())]
    x = "model.depth" if "model.depth" in others else next(iter(others), None)
    return view(without_lr(tables), request, x, variant, refined=refined)


def is_wide(values: int, slot: float) -> bool:
    """Return whether a panel with this many values on its axis takes the whole width of the page."""
    return values * int(0.88 / slot + 1e-9) > WIDE


class SlotKind(FigureKind):
    """Dots of seeds beside their summary.

    Marks: `seed` (a value, with a bar from `low` to `high` if it is known so far), `open` (a bar without an
    upper end), `lost` (a seed without a value, in the strip), `hole`, `crash` (at its rate, or in the strip),
    and `summary`. `slot`: the width of a slot.
    """

    def layout(self, chart: Chart) -> dict[str, float]:
        """Return the sizes of the page, which is wide where a panel has many slots."""
        left = {"left": 0.92}  # room for the text of the strip
        slot = float(chart.frame["slot"].iloc[0])
        if chart.grid.cols > 1 or not is_wide(len(chart.grid.places[0].x.names), slot):
            return left
        return {**left, "widest": 10.0, "height": 2.4 if chart.grid.rows > 1 else 3.2}

    def draw_on(self, ax: Axes, part: pd.DataFrame, look: Look) -> None:
        """Draw a mark for each seed, and each summary with its interval."""
        if not len(part):
            return
        points = float(part["slot"].iloc[0]) * look.width / len(look.x.names) * 72
        size = max(2.0, min(4.2, 0.16 * points))
        for row in marks_of(part):
            style = look.of(row.color)
            if row.mark == "summary":
                _summary(ax, row, style, look, size)
            else:
                _seed(ax, row, style, look, size)


def _seed(ax: Axes, row: Any, style: Style, look: Look, size: float) -> None:
    color = style.color
    if row.mark == "lost":
        ax.plot(row.x, _in_strip(look), "x", color=color, ms=size, mew=1.1, zorder=4)
        return
    if row.mark == "crash":
        at = row.mean if np.isfinite(row.mean) else _in_strip(look)
        ax.plot(row.x, at, marker=marks.crash(), color=color, mfc="white", ms=1.2 * size, mew=0.9, zorder=4.5)
        return
    if row.mark == "hole":
        ax.plot(row.x, row.mean, "+", color=color, ms=4.5, mew=0.9)
        return
    if np.isfinite(row.low):
        bar: dict[str, Any] = {"lw": 0.75 * size, "alpha": 0.25, "solid_capstyle": "butt", "zorder": 2}
        ax.plot([row.x, row.x], [row.low, row.high], color=color, **bar)
    if row.mark == "open":
        ax.plot(row.x, row.high, marker=marks.arrow(), color=color, mfc="none", ms=1.6 * size, zorder=4)
    ax.plot(row.x, row.mean, style.marker, color=color, mfc="white", ms=size, mew=0.9, zorder=4)


def _summary(ax: Axes, row: Any, style: Style, look: Look, size: float) -> None:
    """Draw an estimate as a short bar and its interval as a line; what is infinite ends in the strip."""
    above = look.y.strip is not None and look.y.strip.low >= look.y.inner[1]
    ceiling = _in_strip(look) if above else ax.get_ylim()[1]
    if np.isfinite(row.low):
        ax.plot([row.x, row.x], [row.low, min(row.high, ceiling)], color=style.color, lw=1.1, zorder=3)
    if np.isfinite(row.mean) or (above and row.mean == np.inf):
        at = min(row.mean, ceiling)
        ax.plot(row.x, at, marker="_", color=style.color, ms=1.8 * size, mew=2.2, zorder=5)


def _in_strip(look: Look) -> float:
    """Return the middle of the strip."""
    strip = look.y.strip
    assert strip is not None
    return math.sqrt(strip.low * strip.high) if look.y.log else (strip.low + strip.high) / 2
