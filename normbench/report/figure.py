"""The figures of an experiment as pictures of a page: panels, legends and words, in some detail."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from normbench.analysis.tables import Tables
from normbench.analysis.variants import number
from normbench.errors import NormbenchError
from normbench.plots import choose, import_matplotlib
from normbench.plots.chart import Chart, ColorScale, Place
from normbench.plots.figures import FIGURES
from normbench.plots.figures.claims import Claims
from normbench.plots.figures.convergence import ConvergenceAccuracy, Curves
from normbench.plots.figures.summary import Summary
from normbench.plots.kind import FigureKind
from normbench.plots.marks import line_handles
from normbench.plots.style import clean, styles_of
from normbench.plots.view import Request
from normbench.report.canvas import PIXELS, Canvas, Detail, Size
from normbench.report.painters import paint
from normbench.report.shared import Shared
from normbench.report.svg import places, tag

DETAILS = (Detail(150), Detail(40), Detail(40, words=False), Detail(12, words=False, bands=False))
GAIN = 0.9  # of its size that a picture with less detail has at most; otherwise more is taken
SHARE = 4.0  # a picture that lost detail is only reduced again when it is this much larger than others
WIDE = 14  # names on a horizontal axis, from which on a panel takes the whole width
Run = Callable[[int], "str | None"]


class Picture:
    """One figure of a page. `html` is the whole of it; `reduce` makes it smaller."""

    def __init__(self, kind: FigureKind, chart: Chart, shared: Shared, run: Run, command: str) -> None:
        """Draw it in full detail.

        Args:
            kind: of figure.
            chart: its data.
            shared: collects colors and marks.
            run: returns the row of a run, by its position in the tables.
            command: that draws it as a file, for a page that has no room for it.
        """
        self.kind, self.chart, self.shared, self.run, self.command = kind, chart, shared, run, command
        self.level = 0
        self.rows = self._rows()

    @property
    def name(self) -> str:
        """Return its name, as an anchor and a heading."""
        return self.chart.stem

    @property
    def heading(self) -> str:
        """Return its name in words."""
        return self.chart.stem.replace("_", " ").capitalize()

    @property
    def size(self) -> int:
        """Return its length in characters."""
        return sum(len(svg) + len(head) for _, panels in self.rows for head, svg in panels)

    @property
    def note(self) -> str:
        """Return what the page leaves out of it."""
        if self.level >= len(DETAILS):
            return f"Left out, so that the page stays small; draw it: {self.command}"
        detail = DETAILS[self.level]
        parts = ["" if detail.words else "the marks have no words of their own"]
        parts.append("" if detail.bands else "intervals are not drawn")
        parts.append(f"lines have at most {detail.points} points" if self.level else "")
        text = "; ".join(filter(None, parts))
        return f"So that the page stays small, {text}." if text else ""

    @property
    def shape(self) -> str:
        """Return `wide` for panels of the whole width, `one` for a single panel of half of it, or nothing."""
        if _is_wide(self.chart):
            return "wide"
        return "one" if len(self.chart.grid.places) == 1 else ""

    def reduce(self) -> bool:
        """Make it smaller; return False if nothing is left of it."""
        before = self.size
        while self.level < len(DETAILS) and self.size > GAIN * before:
            self.level += 1
            self.rows = self._rows() if self.level < len(DETAILS) else []
        return bool(self.rows)

    def legends(self) -> list[tuple[str, list[tuple[Markup, str]]]]:
        """Return the name of each legend and its entries: a swatch and its words."""
        chart = self.chart
        found = []
        if chart.color_name:
            handles = line_handles(chart.color, styles_of(chart.color), self.kind.markers)
            found.append((chart.color_name, handles))
        found.append(("", self.kind.signs(chart)))
        return [
            (name, [(swatch(self.shared, handle), text) for handle, text in handles])
            for name, handles in found
            if handles
        ]

    def scale(self) -> tuple[str, str, str, str] | None:
        """Return label, ends and gradient of the colors of a map."""
        return _gradient(self.chart.scale) if self.chart.scale is not None else None

    def _rows(self) -> list[tuple[str, list[tuple[str, Markup]]]]:
        """Return the panels by rows: the name of the row, then head and picture of each panel."""
        chart, detail = self.chart, DETAILS[self.level]
        grid, places = chart.grid, chart.grid.places
        # Rows of one panel each would leave most of the page empty: they are put beside each other.
        rows_used = len({place.row for place in places})
        apart = bool(grid.strips) and len(places) > 2 * rows_used
        alone = len(places) == len(grid.starts)
        first = dict.fromkeys(grid.starts, True)
        rows: dict[tuple[int, int], tuple[str, list[tuple[str, Markup]]]] = {}
        for place in places:
            start = max(start for start in grid.starts if start <= place.row)
            key = (0 if alone else start, place.row if apart else 0)
            if key not in rows:
                words = [grid.strips.get(place.row, "")] if apart else []
                if len(grid.starts) > 1 and not alone and first.pop(start, False):
                    words.insert(0, place.y.label)
                rows[key] = (", ".join(filter(None, words)), [])
            panel = panel_svg(self.kind, chart, place, self.shared, self.run, detail)
            head = _head(chart, place) if apart else _full_name(chart, place)
            rows[key][1].append((head, panel))
        return list(rows.values())


def panel_svg(
    kind: FigureKind,
    chart: Chart,
    place: Place,
    shared: Shared,
    run: Run,
    detail: Detail = DETAILS[0],
    size: Size | None = None,
) -> Markup:
    """Return one panel.

    Args:
        kind: of figure.
        chart: its data.
        place: the panel.
        shared: collects colors and marks.
        run: returns the row of a run, by its position in the tables.
        detail: how much it shows.
        size: in pixels; None: by the number of panels and names.
    """
    name = _full_name(chart, place)
    canvas = Canvas(
        shared, chart, place, styles_of(chart.color), size or _size(chart, place), detail, name, run
    )
    part = chart.part(place)
    paint(kind, canvas, part)
    axes = f"{clean(place.y.label)} against {clean(place.x.label)}" if place.y.label else place.x.label
    means = part["mean"].to_numpy(float)
    means = means[np.isfinite(means)]
    reach = f"from {number(means.min())} to {number(means.max())}" if len(means) else "none"
    label = f"{kind.name.replace('_', ' ')}: {name or chart.title}. {axes}. {len(part)} values, {reach}."
    return canvas.svg(clean(label))


def pictures(
    tables: Tables, shared: Shared, run: Run, only_curves: bool = False
) -> tuple[list[Picture], list[str]]:
    """Return the figures of an experiment, and sentences about those that cannot be drawn.

    Args:
        tables: the experiment.
        shared: collects colors and marks.
        run: returns the row of a run, by its position in the tables.
        only_curves: draw those alone that need no run that has ended.
    """
    found, said = [], []
    try:
        kinds = choose(tables)
    except NormbenchError:
        return [], []
    accuracy = ConvergenceAccuracy()
    if accuracy.applies(tables):
        kinds.append(accuracy)
    order = list(FIGURES.classes())
    kinds = [kind for kind in kinds if not isinstance(kind, (Claims, Summary))]  # drawn in the text
    if only_curves:
        kinds = [kind for kind in kinds if isinstance(kind, Curves)]
    for kind in sorted(kinds, key=lambda kind: order.index(type(kind))):
        command = f"normbench plot {tables.folder} --figure {kind.name}"
        try:
            charts = kind.compute(tables, Request())
        except NormbenchError as error:
            said.append(f"{kind.name}: {error}")
            continue
        found += [Picture(kind, chart, shared, run, command) for chart in charts]
    return found, said


def swatch(shared: Shared, handle: Any) -> Markup:
    """Return a picture of an entry of a legend of matplotlib."""
    import_matplotlib()
    from matplotlib.colors import to_hex, to_rgba
    from matplotlib.patches import Patch

    if isinstance(handle, Patch):
        edge = to_hex(handle.get_edgecolor()) if to_rgba(handle.get_edgecolor())[3] else None
        box = tag("rect", x=4, y=2, width=18, height=10, fill=to_hex(handle.get_facecolor()), stroke=edge)
        return _swatch(box)
    color = shared.color(handle.get_color())
    parts = []
    if handle.get_linestyle() not in ("None", "none", "", " "):
        dashes = getattr(handle, "_unscaled_dash_pattern", (0, None))[1]
        on = " ".join(places(d * 1.3) for d in dashes) if dashes else None
        wide = places(handle.get_linewidth())
        faint = places(handle.get_alpha()) if handle.get_alpha() else None
        at = {"stroke_dasharray": on, "stroke_width": wide, "opacity": faint}
        parts.append(tag("path", class_=f"l {color}", d="M2 7H24", **at))
    marker = handle.get_marker()
    if not (isinstance(marker, str) and marker in ("None", "none", "", " ")):
        shape = shared.mark(marker, round(min(handle.get_markersize(), 8.0) * PIXELS, 1))
        hollow = marker in ("x", "+", "_", "|") if isinstance(marker, str) else True
        hollow = hollow or handle.get_markerfacecolor() in ("none", "white", "None")
        parts.append(tag("use", class_=f"m{' h' * hollow} {color}", href=f"#{shape}", x=13, y=7))
    return _swatch(*parts)


def _swatch(*parts: Markup) -> Markup:
    return tag("svg", *parts, class_="swatch", viewBox="0 0 26 14", aria_hidden="true")


def _gradient(scale: ColorScale) -> tuple[str, str, str, str]:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    colors = ",".join(to_hex(colormaps["cividis"](i / 8)) for i in range(9))
    low, high = (number(float(f"{end:.3g}")) for end in (scale.low, scale.high))
    label = scale.label + (", logarithmic" if scale.log else "")
    return (label, low, high, f"linear-gradient(90deg,{colors})")


def _is_wide(chart: Chart) -> bool:
    slots = max(len(place.x.names) for place in chart.grid.places)
    if "slot" in chart.frame and len(chart.frame):
        slots *= max(1, int(0.88 / float(chart.frame["slot"].iloc[0]) + 1e-9))
    return slots > WIDE and len(chart.grid.places) <= 6


def _size(chart: Chart, place: Place) -> Size:
    """Return the size of a panel: wide if it has many names, tall if it has many rows."""
    width = 760.0 if _is_wide(chart) else 420.0 if len(chart.grid.places) < 3 else 330.0
    if place.y.kind in ("rows", "levels", "thinned"):
        each = 30.0 if chart.frame["mark"].eq("bin").any() else 22.0
        return Size(width, min(420.0, max(48.0, each * len(place.y.names) + 10)))
    return Size(width, 220.0 if width > 400 else 170.0)


def _head(chart: Chart, place: Place) -> str:
    """Return the name above a panel."""
    heads = chart.grid.heads
    if (place.row, place.col) in heads:
        return heads[place.row, place.col]
    return heads.get((0, place.col), "") if chart.grid.strips or len(chart.grid.starts) < 2 else ""


def _full_name(chart: Chart, place: Place) -> str:
    """Return the name of a panel with that of its row."""
    return ", ".join(filter(None, [chart.grid.strips.get(place.row, ""), _head(chart, place)]))


def fit(all_pictures: Sequence[Picture], room: float) -> None:
    """Take detail from pictures until all have room, in characters: the largest first, each a little."""
    left = [one for one in all_pictures if one.rows]
    total = math.fsum(one.size for one in left)
    while left and total > room:
        largest = max(left, key=lambda one: one.size / SHARE**one.level)
        total -= largest.size
        if largest.reduce():
            total += largest.size
        else:
            left.remove(largest)
