"""Histograms of a layer's outputs behind each other: over the steps, and over the layers at one step."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from normbench.analysis.tables import Tables
from normbench.analysis.variants import variant_keys
from normbench.plots.captions import caption, footer, lost_text, warnings
from normbench.plots.chart import Axis, Chart, Grid
from normbench.plots.kind import FigureKind
from normbench.plots.probed import (
    chosen_layer,
    chosen_steps,
    layers_of,
    probe_view,
    quantities_of,
    rows,
)
from normbench.plots.style import BLUE
from normbench.plots.view import Request, View

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from normbench.plots.style import Look

DENSITY = "activations.density@"  # then the center of the bin
STEPS, LAYERS = 9, 16  # histograms in a panel, at most
FILL = "#A9CFE8"
USUAL, TALLEST = 1.3, 2.2  # of a histogram, in distances between two; higher ones are cut off
SPIKES = 2  # bins, such as the zeros of ReLU or the ends of a sigmoid, that may be far above all others


class Ridge(FigureKind):
    """Histograms of the outputs of a layer over the steps, and of all layers (option bins)."""

    name: Literal["ridge"] = "ridge"

    swept_x: ClassVar[bool] = False
    probe: ClassVar[str] = "activations"

    def applies(self, tables: Tables) -> bool:
        """Return whether histograms were measured (the probe's option `bins`)."""
        return len(_densities(tables)) > 1

    def compute(self, tables: Tables, request: Request) -> list[Chart]:
        """Return one layer over the steps, and all layers at the last step, a panel for each variant.

        One row for each bin: `level` (which histogram, 0 at the top), `x` (center), mean (share), and
        `height` (as drawn, in distances between two histograms).
        """
        names = _densities(tables)
        panel = (*(request.color or ()), *(request.panel or variant_keys(tables)))
        shown = probe_view(tables, request, names, (), tuple(dict.fromkeys(panel)), most=8)
        layer, called = chosen_layer(tables, request, names)
        one = _means(tables, shown, names, layer)
        steps = chosen_steps(one, request, STEPS)
        everywhere = _means(tables, shown, names)
        last = chosen_steps(everywhere, request, STEPS)[-1:]
        layers = layers_of(everywhere.rename(columns={"panel": "run"}))
        if len(layers) > LAYERS:
            layers = [layers[int(i)] for i in np.linspace(0, len(layers) - 1, LAYERS).round()]
        layers = layers[::-1]
        over_steps = _leveled(one, "step", steps)
        at_end = _leveled(everywhere[everywhere["step"].isin(last)], "layer", layers)
        texts = [f"{step:,}" for step in steps]
        when = f"each layer at step {last[0]:,}" if last else "each layer"
        return [
            _page(tables, shown, "ridge", over_steps, texts, called, "step"),
            _page(tables, shown, "ridge_layers", at_end, layers, when, "layer, output at the top"),
        ]

    def layout(self, chart: Chart) -> dict[str, float]:
        """Return the sizes: histograms at equal distances."""
        return {"height": min(6.0, 0.34 * len(chart.grid.places[0].y.names) + 0.7)}

    def draw_on(self, ax: Axes, part: pd.DataFrame, look: Look) -> None:
        """Draw the histograms, each in front of the one above it."""
        levels = len(look.y.names)
        for level, own in part.groupby("level"):
            order = int(str(level))
            base = levels - 1 - order
            edges = _edges(own["x"].to_numpy(float))
            heights = own["height"].to_numpy(float) + base
            tops = np.append(heights[:1], heights)
            ax.fill_between(edges, base, tops, step="pre", lw=0, facecolor=FILL, zorder=2 + order)
            ax.step(edges, tops, where="pre", color=BLUE, lw=0.8, zorder=2.5 + order)


def _densities(tables: Tables) -> list[str]:
    """Return the quantities that are bins of a histogram."""
    return [name for name in quantities_of(tables) if name.startswith(DENSITY)]


def _means(tables: Tables, shown: View, names: list[str], layer: str | None = None) -> pd.DataFrame:
    """Return the mean share of each bin over the seeds that did not diverge."""
    table = rows(tables, shown, names, layer)
    table = table[~table["diverged"]]
    keys = ["panel", "step", "quantity"] + (["layer"] if layer is None else [])
    means = table.groupby(keys, sort=False)["value"].mean().reset_index(name="mean")
    return means.assign(x=means["quantity"].str.removeprefix(DENSITY).astype(float))


def _leveled(table: pd.DataFrame, key: str, levels: list[int] | list[str]) -> pd.DataFrame:
    """Return the rows of these levels, with the place of each; bins that were not measured are 0."""
    import pandas as pd

    places: dict[object, int] = {level: i for i, level in enumerate(levels)}
    table = table[table[key].isin(list(places)) & np.isfinite(table["mean"])]
    bins = table.assign(level=table[key].map(places)).pivot_table(
        index=["panel", "level"], columns="x", values="mean"
    )
    if not len(bins):
        return pd.DataFrame({name: np.empty(0) for name in ("panel", "level", "x", "mean")})
    return bins.fillna(0.0).reset_index().melt(["panel", "level"], var_name="x", value_name="mean")


def _page(
    tables: Tables,
    shown: View,
    stem: str,
    table: pd.DataFrame,
    texts: list[str],
    called: str,
    label: str,
) -> Chart:
    bins = table.pivot_table(index=["panel", "level"], columns="x", values="mean").to_numpy()
    peaks = np.sort(bins, axis=1)[:, -SPIKES - 1 :]  # a few of each histogram, ascending
    # Broad histograms set the scale. Those of one or two bins (dead layers) would flatten all others.
    scale = USUAL / max(float(np.quantile(peaks[:, 0], 0.9)) if len(peaks) else 1.0, 1e-3)
    edges = _edges(np.unique(table["x"].to_numpy(float)))
    n = len(texts)
    cut = bool((scale * peaks > TALLEST).any())
    y = Axis(label, "levels", (-0.2, n - 1 + TALLEST), names=tuple(reversed(texts)))
    x = Axis("output of the activation", limits=(float(edges[0]), float(edges[-1])))
    what = f"outputs of the activation of {called}, share in bins of {edges[1] - edges[0]:.3g}"
    return Chart(
        stem=stem,
        title=tables.title,
        frame=table.assign(
            block=0,
            color=0,
            mark="bin",
            low=np.nan,
            high=np.nan,
            height=(scale * table["mean"]).clip(upper=TALLEST),
        ),
        grid=Grid.of_panels(shown.panels, x, y),
        color=shown.color,
        caption=caption(tables, shown, what, band=False),
        warnings=warnings(
            tables, shown, lost_text(shown), f"shares above {TALLEST / scale:.2g} are cut off" if cut else ""
        ),
        footer=footer(tables),
    )


def _edges(centers: np.ndarray) -> np.ndarray:
    """Return the edges of the bins."""
    if not len(centers):
        return np.array([0.0, 1.0])
    width = (centers[-1] - centers[0]) / max(1, len(centers) - 1)
    return np.append(centers - width / 2, centers[-1:] + width / 2)
