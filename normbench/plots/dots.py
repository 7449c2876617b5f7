"""Dots of single seeds beside their summary, several variants side by side at each value of the axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import FixedFormatter, FixedLocator

from normbench.analysis.tables import Tables
from normbench.analysis.variants import number, variant_keys
from normbench.names import RATE
from normbench.plots import marks
from normbench.plots.base import Request, View, view
from normbench.plots.sheet import Sheet
from normbench.plots.style import PALE
from normbench.stats.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Slots:
    """Where the dots and the summary of each variant stand at each value of the axis."""

    def __init__(self, shown: View) -> None:
        self.own_axis = shown.x is None  # without another key the variants themselves are the axis
        self.x = shown.color if self.own_axis else marks.x_levels(shown)
        self.colors = 1 if self.own_axis else len(shown.color)
        self.width = 0.5 if self.own_axis else 0.88 / self.colors
        self.seeds = sorted(shown.runs["seed"].unique())
        self.where: list[tuple[int, int]] = []
        self.size = 4.0  # of a dot, in points

    @property
    def wide(self) -> bool:
        """Return whether a panel needs the whole width of the page."""
        return len(self.x) * self.colors > 14

    def sheet(self, shown: View) -> Sheet:
        """Return the page: panels below each other where one holds many slots."""
        panels = shown.panels
        if self.wide and not panels.strips:
            sheet = Sheet(len(panels), 1, widest=10.0, height=2.4 if len(panels) > 1 else 3.2)
            sheet.heads = {
                (i, 0): panels.heads[place] for i, place in enumerate(panels.where) if panels.heads
            }
            self.where = [(i, 0) for i in range(len(panels))]
        else:
            sheet = Sheet(panels.rows, panels.cols, present=set(panels.where))
            sheet.heads, sheet.strips = dict(panels.heads), dict(panels.strips)
            self.where = list(panels.where)
        sheet.left = 0.92  # room for the name of the strip
        slot = self.width * sheet.width / len(self.x) * 72  # points
        self.size = max(2.0, min(4.2, 0.16 * slot))
        return sheet

    def middle(self, x: int, color: int) -> float:
        """Return the middle of a variant's slot."""
        return x + (0.0 if self.own_axis else (color - (self.colors - 1) / 2) * self.width)

    def seed(self, x: int, color: int, seed: int) -> float:
        """Return where a seed's dot stands: left of the slot's middle, so that equal values do not hide."""
        share = self.seeds.index(seed) / max(1, len(self.seeds) - 1) if len(self.seeds) > 1 else 0.5
        return self.middle(x, color) + self.width * (-0.42 + 0.5 * share)

    def summary(self, x: int, color: int) -> float:
        """Return where the summary stands: right of the seeds."""
        return self.middle(x, color) + self.width * 0.33

    def label(self, ax: Axes, sheet: Sheet) -> None:
        """Name the values of the axis; thin lines keep them apart."""
        labels = self.x.labels
        ax.set_xticks(range(len(labels)), labels)
        ax.set_xlim(-0.5, len(labels) - 0.5)
        ax.grid(False, axis="x")
        for edge in np.arange(0.5, len(labels) - 1):
            ax.axvline(edge, color="#D5D5D5", lw=0.6, zorder=0.7)
        sheet.turn_long_labels(labels)


def slot_view(tables: Tables, request: Request, refined: bool = False) -> View:
    """Return the view for such a figure: depth (else another key) as axis, variants as colours, no rate."""
    variant = request.color if request.color is not None else variant_keys(tables)
    others = [k for k in tables.varied if k not in variant and k != RATE and k not in (request.panel or ())]
    x = "model.depth" if "model.depth" in others else next(iter(others), None)
    return view(_without_rate(tables), request, x, variant, refined=refined)


def _without_rate(tables: Tables) -> Tables:
    """Hide the rate from the choice of axis and panels: the figure chooses or searches it itself."""
    from dataclasses import replace

    return replace(tables, swept=tuple(k for k in tables.swept if k != RATE))


def strip(ax: Axes, low: float, high: float, text: str) -> float:
    """Shade the part of the axis for what has no value, and name it beside the ticks; return its middle."""
    log = ax.get_yscale() == "log"
    middle = float(np.sqrt(low * high)) if log else (low + high) / 2
    ax.axhspan(low, high, color=PALE, lw=0, zorder=0.6)
    ticks = [float(t) for t in ax.get_yticks() if not low <= t <= high]
    ax.yaxis.set_major_locator(FixedLocator([*ticks, middle]))
    ax.yaxis.set_major_formatter(FixedFormatter([*map(_plain, ticks), text]))
    return middle


def _plain(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else number(value)


def summary(ax: Axes, x: float, interval: Interval, color: Any, ceiling: float, size: float) -> None:
    """Draw an estimate as a short bar and its interval as a line; an infinite end goes to the ceiling."""
    if np.isfinite(interval.low):
        ends = [interval.low, min(interval.high, ceiling)]
        ax.plot([x, x], ends, color=color, lw=1.1, zorder=3)
    if np.isfinite(interval.estimate):
        ax.plot(x, interval.estimate, marker="_", color=color, ms=1.8 * size, mew=2.2, zorder=5)
