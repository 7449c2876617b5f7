"""Quantities of the probes against the step: a line with its interval, or the band between two of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from normbench.analysis.tables import Tables
from normbench.names import NET
from normbench.plots import marks
from normbench.plots.base import View, colors_name, notes, several_seeds
from normbench.plots.probed import lost_text, rows
from normbench.plots.sheet import Sheet
from normbench.plots.style import GREY, INK, Look, looks, plain_log

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW = 25  # up to so many steps each gets a dot, so that it is seen when the probe looked


@dataclass(frozen=True)
class Block:
    """One block of panels: `middle` is a line; the band is `low` to `high`, else `middle`'s interval."""

    label: str  # of the vertical axis
    middle: str | None = None
    low: str | None = None
    high: str | None = None
    log: bool = False
    level: float | None = None  # a line across the panels

    @property
    def names(self) -> list[str]:
        """Return its quantities."""
        return [name for name in (self.low, self.middle, self.high) if name]


def over_steps(
    tables: Tables,
    shown: View,
    blocks: Sequence[Block],
    sentence: str,
    legend: Sequence[tuple[Any, str]] = (),
    layer: str = NET,
) -> Figure:
    """Draw each block's quantities of a layer (or of the whole net) against the step."""
    panels = shown.panels
    sheet = Sheet.of_blocks(panels, len(blocks))
    styles = looks(shown.color)
    beyond, thin_lines = False, False
    for b, block in enumerate(blocks):
        table = marks.thin(rows(tables, shown, block.names, layer), len(panels))
        kept = table[~table["diverged"]]
        means = marks.mean_band(kept, [*marks.GROUP, "quantity", "step"], "value", block.log)
        lost = table[table["diverged"] & (table["quantity"] == block.middle)]
        low, high, cut = _limits(means if len(means) else lost.assign(mean=lost["value"]), block)
        beyond |= cut
        for p, (r, c) in enumerate(panels.where):
            ax = sheet.at(b * panels.rows + r, c)
            ax.set_yscale("log" if block.log else "linear")
            ax.set_ylim(low, high)
            if block.log:
                plain_log(ax.yaxis, low, high)
            else:
                ax.set_yticks([t for t in MaxNLocator(5).tick_values(low, high) if low <= t <= high])
            step_axis(ax, table["step"].to_numpy(), sheet)
            if block.level is not None:
                ax.axhline(block.level, color=GREY, lw=0.9, ls=(0, (2, 2)), zorder=1)
            for code, part in means[means["panel"] == p].groupby("color"):
                _draw(ax, part, block, styles[int(code)])
            for (code, _), part in lost[lost["panel"] == p].groupby(["color", "run"]):
                thin_lines = True
                part = part.sort_values("step")
                ax.plot(part["step"], part["value"], color=styles[int(code)].color, lw=0.6, alpha=0.7)
    lines = notes(tables, shown, sentence, lost_text(shown))
    if beyond:
        lines.append(marks.BEYOND)
    entries = [*legend]
    if thin_lines:
        from matplotlib.lines import Line2D

        entries.append((Line2D([], [], color=INK, lw=0.7), "thin: one diverged run, up to its end"))
    colors = marks.line_handles(shown.color, styles, marker=False)
    labels = {b * panels.rows: block.label for b, block in enumerate(blocks)}
    return sheet.finish(tables.title, lines, [(colors_name(shown), colors), ("", entries)], "step", labels)


def seeds_band(shown: View, log: bool) -> str:
    """Return what a line and the band around it are."""
    if not several_seeds(shown):
        return "one run each: no interval"
    return f"line: {'geometric mean' if log else 'mean'} over seeds; band: its 95 % Student-t interval"


def step_axis(ax: Axes, steps: np.ndarray, sheet: Sheet) -> None:
    """Label the axis of the steps; where they are spaced logarithmically, so is the axis."""
    steps = np.unique(steps)
    end = max(1, int(steps[-1])) if len(steps) else 1
    ax.xaxis.set_major_formatter(FuncFormatter(marks.thousands))
    if len(steps) > 4 and np.median(steps) < 0.15 * end:
        first = int(steps[steps > 0][0])
        ax.set_xscale("symlog", linthresh=first, linscale=0.4)
        ax.set_xlim(-0.15 * first, end * 1.1)
        decades = 10.0 ** np.arange(np.ceil(np.log10(first)), np.log10(end) + 0.01)
        room = max(2, int(sheet.width / 0.45))
        ax.set_xticks([0, *decades[:: -(-len(decades) // room)]])
        ax.xaxis.set_major_formatter(FuncFormatter(marks.thousands))
        ax.minorticks_off()
        return
    ax.set_xlim(-0.02 * end, end * 1.02)
    most = max(2, int(sheet.width / 0.5))
    ax.xaxis.set_major_locator(MaxNLocator(most, integer=True, steps=[1, 2, 5, 10]))


def _draw(ax: Axes, part: pd.DataFrame, block: Block, look: Look) -> None:
    """Draw one colour's line and band."""
    dot = "o" if part["step"].nunique() <= FEW else ""

    def line(name: str | None) -> pd.DataFrame:
        return part[part["quantity"] == name].set_index("step")

    if block.low and block.high:
        low, high = line(block.low)["mean"].align(line(block.high)["mean"], join="inner")
        ax.fill_between(low.index, low, high, color=look.color, alpha=0.22, lw=0, zorder=2)
        for edge in (low, high):
            ax.plot(edge.index, edge, color=look.color, ls=look.dashes, lw=0.8, zorder=3)
        if len(low) == 1:  # a single step has no area
            ax.vlines(low.index, low, high, color=look.color, lw=4, alpha=0.4, zorder=2)
    if block.middle:
        own = line(block.middle)
        ax.plot(own.index, own["mean"], color=look.color, ls=look.dashes, marker=dot, ms=2.2, zorder=3)
        if not block.low:
            ax.fill_between(own.index, own["low"], own["high"], color=look.color, alpha=0.15, lw=0, zorder=2)


def _limits(means: pd.DataFrame, block: Block) -> tuple[float, float, bool]:
    """Return limits that hold nearly all, and whether anything lies beyond them."""
    values = means["mean"].to_numpy(float)
    values = values[np.isfinite(values) & ((values > 0) | (not block.log))]
    if not len(values):
        return (0.1, 10.0, False) if block.log else (-1.0, 1.0, False)
    if block.log:
        near = values[~marks.out_of_sight(values)]
        low, high = near.min(), near.max()
        low, high = min(low, block.level or low) / 1.3, max(high, block.level or high) * 1.3
    else:
        first, last = np.quantile(values, [0.02, 0.98])
        room = 0.5 * (last - first) + 1e-9
        low, high = max(values.min(), first - room), min(values.max(), last + room)
        room = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
        low, high = low - room, high + room
    return float(low), float(high), bool(values.min() < low or values.max() > high)
