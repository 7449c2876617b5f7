"""Maps: the color of a cell is a mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from normbench.plots.chart import ColorScale
from normbench.plots.style import Look

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

EMPTY = "#F4F4F4"  # of cells without a number


def color_map(ax: Axes, part: pd.DataFrame, look: Look, edges: bool = False) -> None:
    """Draw the cells of one panel.

    Args:
        ax: where to draw.
        part: `x` (column), `y` (row) and `mean` of each cell.
        look: with the scale of the colors and the names of rows and columns.
        edges: draw lines between the cells.
    """
    from matplotlib.colors import LogNorm, Normalize

    scale = look.scale
    assert isinstance(scale, ColorScale)
    rows, columns = len(look.y.names), len(look.x.names)
    values = np.full((rows, columns), np.nan)
    values[part["y"].to_numpy(int), part["x"].to_numpy(int)] = part["mean"]
    norm = (LogNorm if scale.log else Normalize)(scale.low, scale.high, clip=True)
    lines = {"edgecolors": "white", "linewidth": 0.6} if edges else {"rasterized": True}
    ax.pcolormesh(
        np.arange(columns + 1) - 0.5,
        np.arange(rows + 1) - 0.5,
        np.ma.masked_invalid(values),
        cmap="cividis",
        norm=norm,
        **lines,
    )
    ax.set_facecolor(EMPTY)
    ax.grid(False)
