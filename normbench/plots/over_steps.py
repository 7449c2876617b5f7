"""Quantities of the probes against the step: a line with its interval, or the range between two of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from normbench.analysis.tables import Tables
from normbench.names import NET
from normbench.plots import marks
from normbench.plots.captions import BEYOND, caption, footer, lost_text, warnings
from normbench.plots.chart import Axis, Chart, Grid, marked
from normbench.plots.kind import FigureKind
from normbench.plots.means import GROUP, mean_band, out_of_sight, thin
from normbench.plots.probed import rows
from normbench.plots.view import View

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from normbench.plots.style import Look

FEW = 25  # steps; up to this number, a dot shows each measurement


@dataclass(frozen=True)
class Block:
    """One block of panels: the quantity of the line, or of the ends of the range, or both."""

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


class OverSteps(FigureKind):
    """Quantities of the probes against the step."""

    swept_x: ClassVar[bool] = False
    markers: ClassVar[bool] = False

    def draw_on(self, ax: Axes, part: pd.DataFrame, look: Look) -> None:
        """Draw ranges and lines with their bands, and each diverged run as a thin line."""
        for (color, mark), own in part.groupby(["color", "mark"]):
            style = look.of(color)
            if mark == "range":
                marks.area(ax, own["x"], own["low"], own["high"], style.color, 0.22)
                for edge in ("low", "high"):
                    ax.plot(own["x"], own[edge], color=style.color, ls=style.dashes, lw=0.8, zorder=3)
                if len(own) == 1:  # a single step has no area
                    ax.vlines(own["x"], own["low"], own["high"], color=style.color, lw=4, alpha=0.4, zorder=2)
            elif mark == "line":
                dot = "o" if len(own) <= FEW else ""
                ax.plot(
                    own["x"], own["mean"], color=style.color, ls=style.dashes, marker=dot, ms=2.2, zorder=3
                )
                if np.isfinite(own["low"]).any():
                    marks.area(ax, own["x"], own["low"], own["high"], style.color, 0.15)
            else:
                for _, run in own.groupby("run"):
                    ax.plot(run["x"], run["mean"], color=style.color, lw=0.6, alpha=0.7)


def over_steps(
    tables: Tables,
    shown: View,
    blocks: Sequence[Block],
    stem: str,
    what: str,
    layer: str = NET,
    average: str = "mean",
    signs: frozenset[str] = frozenset(),
) -> Chart:
    """Return each block's quantities of a layer (or of the whole net) against the step.

    Args:
        tables: the experiment.
        shown: the runs, with their panels and colors.
        blocks: a block of panels each.
        stem: of the file.
        what: what the figure shows, for the caption.
        layer: of layers.csv.
        average: how seeds are averaged, for the caption.
        signs: of the legend, beside that of diverged runs.

    Returns:
        Marks `line` (mean, with its interval from low to high, unless the block is a range), `range` (from
        the mean of the one quantity to that of the other) and `lost` (single diverged runs: `run`, mean).
    """
    frames, axes = [], []
    steps: set[float] = set()
    beyond = False
    for b, block in enumerate(blocks):
        table = thin(rows(tables, shown, block.names, layer), len(shown.panels))
        table["x"] = table["step"].astype(float)
        kept = table[~table["diverged"]]
        means = mean_band(kept, [*GROUP, "quantity", "x"], "value", block.log)
        lost = table[table["diverged"] & (table["quantity"] == block.middle)]
        lost = lost.rename(columns={"value": "mean"}).sort_values("x")
        low, high, cut = _limits((means if len(means) else lost)["mean"].to_numpy(float), block)
        beyond |= cut
        frames.append(_marked(means, lost, block, b))
        axes.append(Axis(block.label, limits=(low, high), log=block.log, level=block.level))
        steps |= set(table["x"])
    frame = _joined(frames)
    thin_lines = {"thin"} if (frame["mark"] == "lost").any() else set()
    return Chart(
        stem=stem,
        title=tables.title,
        frame=frame,
        grid=Grid.of_panels(
            shown.panels, Axis("step", "step", values=tuple(sorted(steps)), whole=True), *axes
        ),
        color=shown.color,
        color_name=shown.color_name,
        caption=caption(tables, shown, what, average, band=any(not block.low for block in blocks)),
        warnings=warnings(tables, shown, lost_text(shown), BEYOND if beyond else ""),
        footer=footer(tables),
        signs=signs | thin_lines,
    )


def _marked(means: pd.DataFrame, lost: pd.DataFrame, block: Block, b: int) -> pd.DataFrame:
    """Return the marks of one block."""
    columns = [*GROUP, "x", "mean", "low", "high", "n"]
    line = means.loc[means["quantity"] == block.middle, columns]
    parts = {"line": line, "lost": lost[[*GROUP, "run", "x", "mean"]]}
    if block.low and block.high:
        low, high = (
            means.loc[means["quantity"] == name, [*GROUP, "x", "mean", "n"]].rename(columns={"mean": end})
            for name, end in ((block.low, "low"), (block.high, "high"))
        )
        parts["range"] = low.merge(high.drop(columns="n"), on=[*GROUP, "x"])
        parts["line"] = line.assign(low=np.nan, high=np.nan)
    return marked(parts, block=b)


def _joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    return pd.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)


def _limits(values: np.ndarray, block: Block) -> tuple[float, float, bool]:
    """Return limits that hold nearly all values, and whether any value is beyond them."""
    values = values[np.isfinite(values) & ((values > 0) | (not block.log))]
    if not len(values):
        return (0.1, 10.0, False) if block.log else (-1.0, 1.0, False)
    if block.log:
        near = values[~out_of_sight(values)]
        low, high = near.min(), near.max()
        low, high = min(low, block.level or low) / 1.3, max(high, block.level or high) * 1.3
    else:
        first, last = np.quantile(values, [0.02, 0.98])
        room = 0.5 * (last - first) + 1e-9
        low, high = max(values.min(), first - room), min(values.max(), last + room)
        room = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
        low, high = low - room, high + room
    return float(low), float(high), bool(values.min() < low or values.max() > high)
