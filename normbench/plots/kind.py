"""The base of all figures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from normbench.analysis.tables import Tables
from normbench.plots.chart import Chart
from normbench.plots.view import Request
from normbench.registry import Named

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from normbench.plots.style import Look

Handles = list[tuple[Any, str]]  # matplotlib's artists with their texts


class FigureKind(Named, ABC):
    """A kind of figure: `compute` makes its data, `draw_on` draws the data of one panel.

    `compute` needs no matplotlib. The page around the panels (axes, legend, caption) is drawn by
    `plots.page` from what the chart says.
    """

    on_demand: ClassVar[bool] = False  # drawn only when it is named
    swept_x: ClassVar[bool] = True  # whether a swept key can be its horizontal axis
    probe: ClassVar[str] = ""  # the probe whose quantities it shows
    one_rate: ClassVar[bool] = False  # can show all variants at one learning rate on the same axes
    traces: ClassVar[bool] = False  # can draw the line of each seed
    any_quantity: ClassVar[bool] = False  # draws any quantity of layers.csv that the user names
    markers: ClassVar[bool] = True  # whether the legend of colors shows markers

    name: str = ""  # a figure declares `name: Literal["its_name"] = "its_name"`

    @abstractmethod
    def applies(self, tables: Tables) -> bool:
        """Return whether the figure makes sense of an experiment's tables."""

    @abstractmethod
    def compute(self, tables: Tables, request: Request) -> list[Chart]:
        """Return the pages of the figure, as data."""

    @abstractmethod
    def draw_on(self, ax: Axes, part: pd.DataFrame, look: Look) -> None:
        """Draw one panel.

        Args:
            ax: where to draw; its scales and limits are set already.
            part: the rows of the chart's frame that belong to the panel.
            look: styles of the colors, size and axes of the panel.
        """

    def layout(self, chart: Chart) -> dict[str, float]:
        """Return options of `Sheet`: sizes in inches that differ from the usual ones."""
        return {}

    def narrow(self, chart: Chart) -> Chart:
        """Return the chart for a page that is too narrow for long words in its panels."""
        return chart

    def signs(self, chart: Chart) -> Handles:
        """Return the legend entries of the marks, in their order."""
        from normbench.plots.marks import sign_handles

        return sign_handles(chart.signs)
