"""Draws a chart as a page: the panels in their grid, with title, caption, legends and foot."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from normbench.errors import NormbenchError
from normbench.plots.axes import set_axes, share_limits
from normbench.plots.chart import Chart, Place
from normbench.plots.color_bar import color_bar, level_bar, level_room
from normbench.plots.kind import FigureKind
from normbench.plots.marks import line_handles
from normbench.plots.paper import FONT, Paper, grow
from normbench.plots.sheet import Sheet
from normbench.plots.style import Look, on_scale, styles_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALLER = (8.0, 7.0, 6.0)  # points of letters that a narrow page may have; journals ask for no less than 6


def draw_page(kind: FigureKind, chart: Chart, paper: Paper | None = None) -> Figure:
    """Return the whole page of a chart, as wide and with letters as large as the paper says.

    The page is laid out with letters of the usual size, on fewer inches where they are to be larger, and
    then grown. So letters fit at any size, or there is a sentence. On a page that is too narrow, a row has
    fewer panels where that is possible; then the letters are smaller if the paper leaves their size open.

    Raises:
        NormbenchError: the panels do not fit on a page of this width.
    """
    paper = paper or Paper()
    chart = paper.applied(chart)
    if paper.width is None and paper.font_size is None:
        return _drawn(kind, chart).figure
    sizes = [paper.font_size] if paper.font_size else [FONT, *SMALLER]
    for size in sizes:
        tried = replace(paper, font_size=size)
        sheet = _drawn(kind, chart, scale=tried.scale)
        columns = range(sheet.cols, 0, -1) if chart.grid.free else [sheet.cols]
        for cols in columns:
            grid = chart.grid if cols == sheet.cols else chart.grid.of_columns(cols)
            fitting = _fitted(kind, replace(chart, grid=grid), tried)
            if not isinstance(fitting, Sheet):
                needed = fitting
                continue
            if tried.scale != 1.0:
                grow(fitting.figure, tried.scale)
            return fitting.figure
    panels = f"{cols} panels side by side" if cols > 1 else "a panel"
    raise NormbenchError(
        f"width: '{kind.name}' needs {math.ceil(10 * needed) / 10:g} inches for {panels} with letters of "
        f"{size:g} points; choose a larger --width, a smaller --font-size, or draw less with --where"
    )


def _fitted(kind: FigureKind, chart: Chart, paper: Paper) -> Sheet | float:
    """Return the sheet on a page of the paper's width, before it is grown, or the inches that it needs."""
    sheet = _drawn(kind, chart, scale=paper.scale)
    page = (paper.width or sheet.figure.get_figwidth()) / paper.scale
    for _ in range(5):  # the room that is left for the panels depends on their ticks
        missing = sheet.needed - page
        panel = sheet.width - missing / sheet.cols
        if panel < sheet.least:
            return paper.scale * (sheet.needed - sheet.cols * (sheet.width - sheet.least))
        sheet = _drawn(kind, chart, panel=panel, page=page, scale=paper.scale)
        if abs(sheet.needed - page) < 0.02:
            break
    return sheet


def _drawn(kind: FigureKind, chart: Chart, **sizes: float) -> Sheet:
    """Return the sheet with all that is drawn on it; `sizes`: as `Sheet`."""
    places = chart.grid.places
    layout = kind.layout(chart)
    labels = chart.color.labels
    bar = bool(chart.color_name) and not kind.markers and on_scale(chart.color)
    if bar:
        layout = {**layout, "right": max(layout.get("right", 0.0), level_room(labels))}
    sheet = Sheet(chart.grid, **{**layout, **sizes})
    for place in places:
        _panel(kind, chart, place, sheet.at(place.row, place.col), (sheet.width, sheet.height), sheet.font)
        if place.x.kind == "names":
            sheet.turn_long_labels(place.x.names)
        if place.x.kind == "thinned":
            sheet.leave_room(place.x.names)
    share_limits({place: sheet.at(place.row, place.col) for place in places}, chart.grid.starts)
    styles = styles_of(chart.color)
    colors = line_handles(chart.color, styles, kind.markers) if chart.color_name and not bar else []
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
    if bar:
        level_bar(figure, sheet, labels, [style.color for style in styles], chart.color_name)
    if chart.scale is not None:
        color_bar(figure, sheet, sheet.at(places[0].row, places[0].col).collections[0], chart.scale)
    return sheet


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
