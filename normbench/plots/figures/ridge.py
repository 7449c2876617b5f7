"""Histograms of a layer's outputs behind each other: over the steps, and over the layers at one step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from normbench.analysis.tables import Tables
from normbench.analysis.variants import variant_keys
from normbench.plots.base import FigureKind, Request, several_seeds
from normbench.plots.base import notes as notes_of
from normbench.plots.probed import (
    chosen_layer,
    chosen_steps,
    layers_of,
    lost_text,
    probe_view,
    quantities_of,
    rows,
)
from normbench.plots.sheet import Sheet
from normbench.plots.style import BLUE, clean

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from normbench.plots.base import View

DENSITY = "activations.density@"  # then the bin's centre
STEPS, LAYERS = 9, 16  # at most so many histograms in a panel
FILL = "#A9CFE8"
USUAL, TALLEST = 1.3, 2.2  # of a histogram, in distances between two; higher ones are cut off
SPIKES = 2  # bins, such as the zeros of ReLU or the ends of a sigmoid, that may be far above all others


def densities(tables: Tables) -> list[str]:
    """Return the quantities that are bins of a histogram."""
    return [name for name in quantities_of(tables) if name.startswith(DENSITY)]


def applies(tables: Tables) -> bool:
    """Histograms were measured (the probe's option `bins`)."""
    return len(densities(tables)) > 1


def draw(tables: Tables, request: Request) -> dict[str, Figure]:
    """Draw one layer over the steps, and all layers at the last step, a panel for each variant."""
    names = densities(tables)
    panel = (*(request.color or ()), *(request.panel or variant_keys(tables)))
    shown = probe_view(tables, request, names, (), tuple(dict.fromkeys(panel)), most=8)
    layer, called = chosen_layer(tables, request, names)
    one = _means(tables, shown, names, layer).assign(level=lambda t: t["step"])
    steps = chosen_steps(one, request, STEPS)
    everywhere = _means(tables, shown, names)
    last = chosen_steps(everywhere, request, STEPS)[-1:]
    layers = layers_of(everywhere.rename(columns={"panel": "run"}))
    if len(layers) > LAYERS:
        layers = [layers[int(i)] for i in np.linspace(0, len(layers) - 1, LAYERS).round()]
    at_end = everywhere[everywhere["step"].isin(last)].assign(level=lambda t: t["layer"])
    labels = [f"{step:,}" for step in steps]
    when = f"step {last[0]:,}" if last else "no step"
    return {
        "ridge": _page(tables, shown, one, [*zip(steps, labels, strict=True)], called, "step"),
        "ridge_layers": _page(
            tables,
            shown,
            at_end,
            [(name, clean(name)) for name in reversed(layers)],
            f"each layer at {when}",
            "layer, output at the top",
        ),
    }


def _means(tables: Tables, shown: View, names: list[str], layer: str | None = None) -> pd.DataFrame:
    """Return the mean share of each bin over the seeds that did not diverge."""
    table = rows(tables, shown, names, layer)
    table = table[~table["diverged"]]
    keys = ["panel", "step", "quantity"] + (["layer"] if layer is None else [])
    means = table.groupby(keys, sort=False)["value"].mean().reset_index()
    return means.assign(centre=means["quantity"].str.removeprefix(DENSITY).astype(float))


def _page(
    tables: Tables,
    shown: View,
    table: pd.DataFrame,
    levels: list[tuple[object, str]],
    called: str,
    label: str,
) -> Figure:
    panels = shown.panels
    height = min(6.0, 0.34 * len(levels) + 0.7)
    sheet = Sheet(panels.rows, panels.cols, present=set(panels.where), height=height)
    sheet.heads, sheet.strips = dict(panels.heads), dict(panels.strips)
    table = table[table["level"].isin([level for level, _ in levels])]
    centres = np.unique(table["centre"].to_numpy())
    bins = table.pivot_table(index=["panel", "level"], columns="centre", values="value").to_numpy()
    peaks = np.sort(np.nan_to_num(bins), axis=1)[:, -SPIKES - 1 :]  # a few of each histogram, ascending
    # of the broad ones: those that lie in a bin or two (dead layers) would cut all others off
    scale = USUAL / max(float(np.quantile(peaks[:, 0], 0.9)) if len(peaks) else 1.0, 1e-3)
    for p, (r, c) in enumerate(panels.where):
        ax = sheet.at(r, c)
        part = table[table["panel"] == p]
        for i, (level, _) in enumerate(levels):
            own = part[part["level"] == level].set_index("centre")["value"].reindex(centres)
            _ridge(ax, centres, scale * own.to_numpy(), len(levels) - 1 - i, i)
        ax.set_yticks(range(len(levels) - 1, -1, -1), [text for _, text in levels])
        ax.set_ylim(-0.2, len(levels) - 1 + TALLEST)
        ax.set_xlim(*_edges(centres)[[0, -1]])
    width = _edges(centres)[1] - _edges(centres)[0]
    average = ", mean over seeds" if several_seeds(shown) else ""
    sentence = (
        f"outputs of the activation of {called}, on the coming training batch: share in bins of {width:.3g}"
        f"{average}; the bins at both ends hold all beyond; all panels have the same scale"
    )
    lines = notes_of(tables, shown, sentence, lost_text(shown))
    if (scale * peaks > TALLEST).any():
        lines.append(f"shares above {TALLEST / scale:.2g} are cut off")
    return sheet.finish(tables.title, lines, [], "output of the activation", label)


def _edges(centres: np.ndarray) -> np.ndarray:
    """Return the edges of the bins."""
    width = (centres[-1] - centres[0]) / max(1, len(centres) - 1) if len(centres) else 1.0
    return np.append(centres - width / 2, centres[-1:] + width / 2) if len(centres) else np.array([0.0, 1.0])


def _ridge(ax: Axes, centres: np.ndarray, heights: np.ndarray, base: float, order: int) -> None:
    """Draw one histogram, before those that stand behind it."""
    if not np.isfinite(heights).any():
        return
    heights = base + np.minimum(np.nan_to_num(heights), TALLEST)
    edges = _edges(centres)
    tops = np.append(heights[:1], heights)
    ax.fill_between(edges, base, tops, step="pre", lw=0, facecolor=FILL, zorder=2 + order)
    ax.step(edges, tops, where="pre", color=BLUE, lw=0.8, zorder=2.5 + order)


FIGURES = (
    FigureKind(
        "ridge",
        "histograms of the outputs of a layer over the steps, and of all layers (option bins)",
        applies,
        draw,
        swept_x=False,
        probe="activations",
    ),
)
