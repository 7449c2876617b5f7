"""A quantity of each layer at each step, as a map: the output at the top, the input at the bottom."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from normbench.analysis.tables import Tables
from normbench.analysis.variants import variant_keys
from normbench.names import NET
from normbench.plots.captions import caption, footer, lost_text, warnings
from normbench.plots.chart import Axis, Chart, ColorScale, Grid
from normbench.plots.kind import FigureKind
from normbench.plots.maps import color_map
from normbench.plots.means import mean_band, thin
from normbench.plots.probed import (
    any_measured,
    chosen_quantities,
    layers_of,
    named,
    page_name,
    probe_view,
    rows,
    spans_decades,
    unitless,
)
from normbench.plots.style import thousands
from normbench.plots.view import Request

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from normbench.plots.style import Look

USUAL = ("gradients.norm", "activations.saturated", "activations.input_std", "ics.norm", "ics.cosine")


class LayerHeatmap(FigureKind):
    """A quantity of each layer at each step as a map (--quantity gradients.norm)."""

    name: Literal["layer_heatmap"] = "layer_heatmap"

    swept_x: ClassVar[bool] = False
    probe: ClassVar[str] = "gradients, activations or ics"
    any_quantity: ClassVar[bool] = True

    def applies(self, tables: Tables) -> bool:
        """Return whether a quantity was measured that is usually shown so."""
        return any_measured(tables, *USUAL)

    def compute(self, tables: Tables, request: Request) -> list[Chart]:
        """Return a page for each quantity, a panel for each variant."""
        return [_page(tables, request, name) for name in chosen_quantities(tables, request, USUAL)]

    def layout(self, chart: Chart) -> dict[str, float]:
        """Return the sizes: rows of equal height, room for the bar of the colors."""
        layers = len(chart.grid.places[0].y.names)
        return {"height": min(4.2, max(1.15, 0.2 * layers + 0.2)), "right": 1.3}

    def draw_on(self, ax: Axes, part: pd.DataFrame, look: Look) -> None:
        """Draw the cells."""
        color_map(ax, part, look)


def _page(tables: Tables, request: Request, quantity: str) -> Chart:
    """Return one row for each cell: `x` (place of the `step`), `y` (place of the `layer`), mean."""
    panel = (*(request.color or ()), *(request.panel or variant_keys(tables)))
    shown = probe_view(tables, request, [quantity], (), tuple(dict.fromkeys(panel)))
    table = rows(tables, shown, [quantity])
    table = thin(table[table["layer"] != NET], len(shown.panels))
    layers = layers_of(table)
    steps = np.unique(table["step"].to_numpy())
    kept = table[~table["diverged"]]
    log = spans_decades(kept["value"].to_numpy(float))
    frame = mean_band(kept, ["panel", "layer", "step"], "value", log)
    places = {layer: i for i, layer in enumerate(layers)}
    x, y = np.searchsorted(steps, frame["step"]), frame["layer"].map(places)
    empty = "gray: not measured, no such layer" + ", or 0" * log
    return Chart(
        stem=page_name("layer_heatmap", quantity),
        title=tables.title,
        frame=frame.assign(block=0, color=0, mark="cell", x=x, y=y),
        grid=Grid.of_panels(
            shown.panels,
            _axis("step (each column one measurement)", [thousands(step) for step in steps]),
            _axis("layer, output at the top", layers),
        ),
        color=shown.color,
        caption=caption(
            tables,
            shown,
            f"color: {unitless(quantity)}; {empty}",
            "geometric mean" if log else "mean",
            band=False,
        ),
        warnings=warnings(tables, shown, lost_text(shown)),
        footer=footer(tables),
        scale=_scale(frame["mean"].to_numpy(float), log, named(quantity)),
    )


def _axis(label: str, names: list[str]) -> Axis:
    return Axis(label, "thinned", (-0.5, len(names) - 0.5), names=tuple(names))


def _scale(values: np.ndarray, log: bool, label: str) -> ColorScale:
    """Return the scale of the colors; single values far beyond the others take its ends."""
    values = values[np.isfinite(values)]
    if not len(values):
        return ColorScale(0.0, 1.0, False, label, "color")
    low, high = (float(v) for v in np.quantile(values, [0.005, 0.995]))
    if low == high:
        high = low * 1.01 if log else low + 1.0
    return ColorScale(low, high, log, label, "color")
