"""Draws a chart as a page: the panels in their grid, with title, caption, legends and foot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from normbench.plots.axes import set_axes
from normbench.plots.chart import Chart, Place
from normbench.plots.color_bar import color_bar
from normbench.plots.kind import FigureKind
from normbench.plots.marks import line_handles
from normbench.plots.sheet import Sheet
from normbench.plots.style import Look, styles_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_page(kind: FigureKind, chart: Chart) -> Figure:
    """Return the whole page of a chart."""
    places = chart.grid.places
    sheet = Sheet(chart.grid, **kind.layout(chart))
    for place in places:
        _panel(kind, chart, place, sheet.at(place.row, place.col), (sheet.width, sheet.height), sheet.font)
        if place.x.kind == "names":
            sheet.turn_long_labels(place.x.names)
    colors = line_handles(chart.color, styles_of(chart.color), kind.markers) if chart.color_name else []
    names = {place.x.label for place in places}
    figure = sheet.finish(
        chart.title,
        chart.caption,
        "; ".join(chart.warnings),
        [(chart.color_name, colors), ("", kind.signs(chart))],
        names.pop() if len(names) == 1 else "",
        [next(p.y.label for p in places if p.row >= start) for start in chart.grid.starts],
        chart.footer,
    )
    if names:  # several horizontal axes: each is labeled where the chart names it
        for place in places:
            own = bool(place.x.label)
            ax = sheet.at(place.row, place.col)
            ax.tick_params(labelbottom=own, bottom=own)
            ax.set_xlabel(place.x.label, fontsize=sheet.font - 0.5, labelpad=2)
    if chart.scale is not None:
        color_bar(figure, sheet, sheet.at(places[0].row, places[0].col).collections[0], chart.scale)
    return figure


def draw_panel(kind: FigureKind, chart: Chart, place: Place, ax: Axes, font: float = 9.0) -> None:
    """Draw one panel of a chart into the given axes, with the names of both axes.

    Args:
        kind: the figure.
        chart: its data.
        place: the panel.
        ax: to draw on.
        font: size of the labels, in points.
    """
    figure = ax.get_figure(root=True)
    assert figure is not None
    box = ax.get_window_extent().transformed(figure.dpi_scale_trans.inverted())
    _panel(kind, chart, place, ax, (box.width, box.height), font)
    ax.set(xlabel=place.x.label, ylabel=place.y.label)


def _panel(
    kind: FigureKind, chart: Chart, place: Place, ax: Axes, size: tuple[float, float], font: float
) -> None:
    """Set the axes of a panel and draw its marks; `size`: width and height in inches."""
    look = Look(styles_of(chart.color), *size, font, place.x, place.y, chart.scale)
    set_axes(ax, look)
    kind.draw_on(ax, chart.part(place), look)
