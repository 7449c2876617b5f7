"""Draws a chart as a page: the panels in their grid, with title, caption, legends and foot."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from normbench.errors import NormbenchError
from normbench.plots.axes import in_lines, set_axes, share_limits
from normbench.plots.chart import Chart, Place
from normbench.plots.color_bar import color_bar, level_bar, level_room
from normbench.plots.kind import FigureKind
from normbench.plots.labels import width
from normbench.plots.marks import line_handles
from normbench.plots.paper import FONT, Paper, grow
from normbench.plots.sheet import Sheet
from normbench.plots.style import Look, on_scale, styles_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALLER = (8.0, 7.0, 6.0)  # points of letters that a narrow page may have; journals ask for no less than 6
TALLEST = 9.0  # inches of a page with fewer panels in a row, while smaller letters help: a sheet of paper
_ROWS = ("rows", "levels")  # kinds of an axis whose names are those of rows
NAMES = (0.3, 0.2)  # of a page's width: what names of rows may take before they are broken into lines


@dataclass(frozen=True)
class _Attempt:
    """A way to lay a page out: the panels in a row, the size of the letters, names whole or in lines."""

    chart: Chart
    paper: Paper
    folded: bool  # a row has fewer panels than on a page of any width
    height: float  # inches, at least


def draw_page(kind: FigureKind, chart: Chart, paper: Paper | None = None) -> Figure:
    """Return the whole page of a chart, as wide and with letters as large as the paper says.

    The page is laid out with letters of the usual size, on fewer inches where they are to be larger, and
    then grown. So letters fit at any size, or there is a sentence. On a page that is too narrow, a row has
    fewer panels; then the letters are smaller if the paper leaves their size open; then the names of rows
    are broken into lines. A page with fewer panels in a row is no taller than a sheet of paper if smaller
    letters help.

    Raises:
        NormbenchError: a panel does not fit on a page of this width.
    """
    paper = paper or Paper()
    chart = paper.applied(chart)
    if paper.width is None and paper.font_size is None:
        return _drawn(kind, chart).figure
    best: Figure | None = None
    needed = math.inf
    left_out: set[float] = set()  # sizes of letters with which the best page is too tall
    attempts = list(_attempts(kind, chart, paper))
    for attempt in sorted(attempts, key=lambda one: max(TALLEST, one.height if one.folded else 0.0)):
        scale = attempt.paper.scale
        if scale in left_out or (best is not None and attempt.height > best.get_figheight()):
            continue
        fitting = _fitted(kind, attempt.chart, attempt.paper)
        if not isinstance(fitting, Sheet):
            needed = min(needed, fitting)
            continue
        if attempt.folded:
            fitting = _flattened(kind, attempt, fitting)
        if scale != 1.0:
            grow(fitting.figure, scale)
        height = fitting.figure.get_figheight()
        if height <= TALLEST or not attempt.folded:
            return fitting.figure
        left_out.add(scale)
        if best is None or height < best.get_figheight():
            best = fitting.figure
    if best is not None:
        return best
    raise NormbenchError(
        f"width: '{kind.name}' needs {math.ceil(10 * needed) / 10:g} inches for a panel with letters of "
        f"{attempts[-1].paper.scale * FONT:g} points; choose a larger --width, a smaller --font-size, or "
        "draw less with --where"
    )


def _attempts(kind: FigureKind, chart: Chart, paper: Paper) -> Iterator[_Attempt]:
    """Yield the ways to lay a page out, the best one first; those without a chance are left out."""
    most = chart.grid.cols
    sizes = [paper.font_size] if paper.font_size else [FONT, *SMALLER]
    plain = [(size, 0.0) for size in sizes]
    sheet = _sheet(kind, chart)
    usual = sheet.at_least(sheet.width)
    for size, share in [*plain, *((sizes[-1], share) for share in NAMES)]:
        tried = replace(paper, font_size=size)
        page = (paper.width or math.inf) / tried.scale
        own = replace(kind.narrow(chart) if page < usual else chart, letters=tried.least)
        if share:
            if not _has_long_names(own, share * page):
                continue
            own = _in_lines(own, share * page)
        for cols in range(most, 0, -1):
            one = own if cols == most else replace(own, grid=own.grid.of_columns(cols))
            wide, high = _sheet(kind, one, tried.scale).bounds
            if cols == 1 or wide <= page:
                yield _Attempt(one, tried, cols < most, tried.scale * high)


def _has_long_names(chart: Chart, inches: float) -> bool:
    """Return whether a line of a name of a row is longer than this."""
    axes = {place.y for place in chart.grid.places if place.y.kind in _ROWS}
    names = [name for y in axes for name in in_lines(y, chart.points(FONT - 0.5))]
    return any(width(line, FONT) > inches for name in names for line in name.split("\n"))


def _in_lines(chart: Chart, inches: float) -> Chart:
    """Return the chart with the names of rows in lines of this width."""
    places = tuple(
        replace(place, y=replace(place.y, inches=inches)) if place.y.kind in _ROWS else place
        for place in chart.grid.places
    )
    return replace(chart, grid=replace(chart.grid, places=places))


def _fitted(kind: FigureKind, chart: Chart, paper: Paper, **sizes: float) -> Sheet | float:
    """Return the sheet on a page of the paper's width, before it is grown, or the inches that it needs."""
    sheet = _drawn(kind, chart, scale=paper.scale, **sizes)
    page = (paper.width or sheet.figure.get_figwidth()) / paper.scale
    for _ in range(5):  # the room that is left for the panels depends on their ticks
        missing = sheet.needed - page
        panel = sheet.width - missing / sheet.cols
        if panel < sheet.least:
            return paper.scale * (sheet.needed - sheet.cols * (sheet.width - sheet.least))
        sheet = _drawn(kind, chart, panel=panel, page=page, scale=paper.scale, **sizes)
        if abs(sheet.needed - page) < 0.02:
            break
    return sheet


def _sheet(kind: FigureKind, chart: Chart, scale: float = 1.0, **sizes: float) -> Sheet:
    """Return the sheet without its axes; `sizes`: as `Sheet`."""
    layout = kind.layout(chart)
    if _has_bar(kind, chart):
        room = level_room(chart.color.labels, chart.points(7.5))
        layout = {**layout, "right": max(layout.get("right", 0.0), room)}
    for y in {place.y for place in chart.grid.places if place.y.inches}:
        most = max(name.count("\n") + 1 for name in in_lines(y, chart.points(FONT - 0.5)))
        tall = len(y.names) * (most * FONT * 1.22 / 72 + 0.06)
        layout = {**layout, "height": max(layout.get("height", 0.0), tall)}
    return Sheet(chart.grid, **{**layout, **sizes}, scale=scale, letters=chart.letters)


def _has_bar(kind: FigureKind, chart: Chart) -> bool:
    """Return whether a bar names the colors, not a legend."""
    return bool(chart.color_name) and not kind.markers and on_scale(chart.color)


def _flattened(kind: FigureKind, attempt: _Attempt, sheet: Sheet) -> Sheet:
    """Return the sheet with lower panels if the page is taller than a sheet of paper."""
    beyond = sheet.figure.get_figheight() - TALLEST / attempt.paper.scale
    low = max(sheet.low, sheet.height - beyond / sheet.rows)
    if low >= sheet.height:
        return sheet
    flat = _fitted(kind, attempt.chart, attempt.paper, height=low)
    return flat if isinstance(flat, Sheet) else sheet


def _drawn(kind: FigureKind, chart: Chart, scale: float = 1.0, **sizes: float) -> Sheet:
    """Return the sheet with all that is drawn on it; `sizes`: as `Sheet`."""
    places, labels, bar = chart.grid.places, chart.color.labels, _has_bar(kind, chart)
    sheet = _sheet(kind, chart, scale, **sizes)
    sheet.add_axes()
    for place in places:
        size = sheet.width, sheet.height
        _panel(kind, chart, place, sheet.at(place.row, place.col), size, sheet.font)
        if place.x.kind == "names":
            sheet.turn_long_labels(place.x.names)
        if place.x.kind == "thinned":
            sheet.leave_room(place.x.names)
    share_limits({place: sheet.at(place.row, place.col) for place in places}, chart.grid.starts)
    if sheet.named:
        sheet.name_axes()
    styles = styles_of(chart.color)
    colors = line_handles(chart.color, styles, kind.markers) if chart.color_name and not bar else []
    figure = sheet.finish(
        chart.title,
        chart.caption,
        "; ".join(chart.warnings),
        [(chart.color_name, colors), ("", kind.signs(chart))],
        "" if sheet.named else places[0].x.label,
        [next(p.y.label for p in places if p.row >= start) for start in chart.grid.starts],
        chart.footer,
    )
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
    look = Look(styles_of(chart.color), *size, font, place.x, place.y, chart.scale, chart.letters)
    set_axes(ax, look)
    kind.draw_on(ax, chart.part(place), look)
