"""One panel of a figure as SVG: its axes, and the marks that the figure puts on them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from markupsafe import Markup

from normbench.plots.chart import Chart, Place
from normbench.plots.style import Style, clean
from normbench.report.axes import axes
from normbench.report.scale import Scale, scale_of, ticks_of
from normbench.report.shared import Shared
from normbench.report.svg import around, inside, places, tag, through
from normbench.report.words import Words, what

LETTER = 5.9  # pixels of a letter of a tick, with room to spare
NARROW = 5.6  # pixels of a letter of a label
PIXELS = 1.35  # pixels of a point, in which matplotlib measures marks and lines
THICK = 1.5  # pixels of a line
THINNEST = 0.7  # pixels of a band that is drawn


@dataclass(frozen=True)
class Detail:
    """How much a picture shows: points of a line, words of each mark, bands around means."""

    points: int
    words: bool = True
    bands: bool = True


@dataclass(frozen=True)
class Size:
    """Width of a panel in pixels, and the height of the part with the marks."""

    width: float
    height: float


class Canvas:
    """Draws one panel. Values are those of the axes; what a mark shows is told in words."""

    def __init__(
        self,
        shared: Shared,
        chart: Chart,
        place: Place,
        styles: Sequence[Style],
        size: Size,
        detail: Detail,
        name: str = "",
        run: Callable[[int], str | None] = lambda _: None,
    ) -> None:
        """Make the axes.

        Args:
            shared: collects colors and marks.
            chart: the figure.
            place: the panel.
            styles: of the chart's colors.
            size: of the panel.
            detail: how much is shown.
            name: of the panel, for the words of its marks.
            run: returns the id of a run's row in the table of runs, by its position in the tables.
        """
        self.shared, self.chart, self.place, self.styles = shared, chart, place, styles
        self.detail, self.name, self.run, self.size = detail, name, run, size
        self._items: list[tuple[tuple[str | None, str], Markup]] = []  # color and shared words, mark
        x, y = place.x, place.y
        frame = chart.frame
        names = [clean(text) for text in y.names] if y.kind in ("rows", "levels", "thinned") else []
        longest = max(map(len, names), default=0)
        data = frame[["mean", "low", "high"]].to_numpy(float).ravel() if "low" in frame else np.empty(0)
        self.top, self.bottom = 18.0, 18.0 + size.height
        self.y: Scale = scale_of(y, data, self.bottom, self.top)
        if names:
            self.most_letters = min(longest, int(0.42 * size.width / LETTER))
            self.left = 12 + LETTER * self.most_letters
            self.y_ticks = ticks_of(y, self.y, 15)
        else:
            self.most_letters = 40
            self.y_ticks = ticks_of(y, self.y, 34)
            self.left = 14 + LETTER * max((len(text) for _, text in self.y_ticks), default=2)
        # Lines end where the strip begins, which is for marks without a value.
        low, high = y.inner if y.limits else (self.y.low, self.y.high)
        first, last = sorted((self.y.at(low), self.y.at(high)))
        self.inner = (first, last)
        strip = y.strip
        if strip is not None and strip.side == "tick":
            self.left = max(self.left, 14 + LETTER * len(strip.text))
        self.right = size.width - 8
        xs = frame["x"].to_numpy(float) if "x" in frame else np.empty(0)
        self.x: Scale = scale_of(x, xs, self.left, self.right)
        texts = [clean(text) for text in x.names]
        self.x_ticks = ticks_of(x, self.x, 46, max(map(len, texts), default=5))
        room = (self.right - self.left) / max(1, len(self.x_ticks))
        widest = max((len(clean(text)) for _, text in self.x_ticks), default=0) * LETTER
        self.turned = bool(texts) and widest > room - 4
        self._deep = min(widest, 150.0) * 0.6 + 16 if self.turned else 16.0
        self.label_lines = textwrap.wrap(clean(x.label), max(12, int((self.right - 2) / NARROW)))
        self.total = self.bottom + self._deep + 2 + 14 * len(self.label_lines)

    # What a mark says.

    def about(self, color: Any, *words: str) -> Words:
        """Return the words of a mark: what its color means, then `words`."""
        chart = self.chart
        own = chart.color.labels[int(color)] if chart.color.keys else ""
        own = f"{chart.color_name} {own}" if chart.color_name and own else own
        return Words(own, "; ".join(filter(None, words)))

    def style(self, color: Any) -> Style:
        """Return the style of a code of the frame's column `color`."""
        return self.styles[int(color)]

    def paint(self, color: Any) -> str:
        """Return the class of a color of matplotlib."""
        return self.shared.color(color)

    # What figures draw.

    def line(
        self,
        xs: Any,
        ys: Any,
        color: Any,
        dashes: Any = "-",
        width: float = THICK,
        words: Words | None = None,
        run: int | None = None,
    ) -> None:
        """Draw a line through points.

        Args:
            xs: values of the horizontal axis.
            ys: values of the vertical axis.
            color: of matplotlib.
            dashes: of matplotlib, in units of the width.
            width: in pixels.
            words: what the line shows; None: nothing that is told.
            run: the run that it shows, by its position, in place of words.
        """
        px, py = self._thinned(self.x(xs), self.y(ys))
        there = np.flatnonzero(np.isfinite(px) & np.isfinite(py))
        if len(there) == 1:  # one point is no line
            x, y = float(px[there[0]]), float(py[there[0]])
            self._put(x, y, color, "o", 2.5, False, words, run)
            return
        path = through(*inside(px, py, *self.inner)) if len(px) > 1 else ""
        if "l" not in path:
            return
        on = None if isinstance(dashes, str) else " ".join(places(d * 1.3) for d in dashes[1])
        wide = None if width == THICK else places(width)
        self._add("path", "l", color, words, run, d=path, stroke_dasharray=on, stroke_width=wide)

    def band(
        self, xs: Any, lows: Any, highs: Any, color: Any, strong: bool = False, words: Words | None = None
    ) -> None:
        """Fill between two lines, unless no eye could tell them apart.

        Args:
            xs: values of the horizontal axis.
            lows: lower ends.
            highs: upper ends.
            color: of matplotlib.
            strong: whether it is the figure's main mark.
            words: those that it shares with the line in it.
        """
        low, high = (np.clip(self.y(v), *self.inner) for v in (lows, highs))
        high = np.where(np.isposinf(np.asarray(highs, float)), self.inner[0], high)
        if not strong and not self.detail.bands:
            return
        if not (np.nan_to_num(low - high) > THINNEST).any():
            return
        px, low, high = self._thinned(self.x(xs), low, high)
        if outline := around(px, low, high):
            self._add("path", "b s" if strong else "b", color, words, None, d=outline)

    def mark(
        self,
        x: float,
        y: float,
        color: Any,
        marker: Any,
        *,
        size: float = 4.5,
        hollow: bool = False,
        words: Words | None = None,
        run: int | None = None,
        pixel: bool = False,
    ) -> None:
        """Draw a mark.

        Args:
            x: value of the horizontal axis.
            y: value of the vertical axis.
            color: of matplotlib.
            marker: of matplotlib.
            size: in points.
            hollow: whether it is not filled.
            words: what it shows.
            run: the run that it shows, in place of words.
            pixel: whether y is a pixel.
        """
        self._put(self.x.at(x), y if pixel else self.y.at(y), color, marker, size, hollow, words, run)

    def bar(
        self, x0: float, x1: float, y: float, color: Any, width: float, words: Words | None = None
    ) -> None:
        """Draw a horizontal bar.

        Args:
            x0: value where it begins.
            x1: value where it ends.
            y: value of the vertical axis.
            color: of matplotlib.
            width: in pixels.
            words: what it shows.
        """
        ends = sorted((self.x.clipped(x0), self.x.clipped(x1)))
        self._bar(ends[0], self.y.at(y), ends[1], self.y.at(y), color, width, words)

    def pole(
        self, x: float, y0: float, y1: float, color: Any, width: float, words: Words | None = None
    ) -> None:
        """Draw a vertical bar.

        Args:
            x: value of the horizontal axis.
            y0: value where it begins.
            y1: value where it ends.
            color: of matplotlib.
            width: in pixels.
            words: what it shows.
        """
        px = self.x.at(x)
        self._bar(px, self.y.clipped(y0), px, self.y.clipped(y1), color, width, words)

    def box(self, x0: float, x1: float, y0: float, y1: float, fill: str, words: Words | None = None) -> None:
        """Fill a rectangle with a color that is the same on the dark page.

        Args:
            x0: value of one side.
            x1: value of the other.
            y0: value of one end.
            y1: value of the other.
            fill: the color.
            words: what it shows.
        """
        left, right = sorted((self.x.clipped(x0), self.x.clipped(x1)))
        top, bottom = sorted((self.y.clipped(y0), self.y.clipped(y1)))
        shape = {"x": places(left), "y": places(top), "width": places(right - left)}
        self._add("rect", "c", None, words, None, **shape, height=places(bottom - top), fill=fill)

    def region(self, left: float, right: float) -> None:
        """Shade what a claim expects, between two pixels."""
        left, right = sorted((left, right))
        shape = {"x": places(left), "y": places(self.top), "width": places(right - left)}
        height = places(self.bottom - self.top)
        self._add("rect", "expected", None, None, None, **shape, height=height)

    def background(self) -> None:
        """Fill the panel with the color of cells that have no number."""
        shape = {"x": places(self.left), "y": places(self.top), "width": places(self.right - self.left)}
        self._add("rect", "none", None, None, None, **shape, height=places(self.bottom - self.top))

    def upright(self, x: float) -> None:
        """Draw a thin line from the bottom to the top."""
        px = places(self.x.at(x))
        self._add("path", "level", None, None, None, d=f"M{px} {places(self.top)}V{places(self.bottom)}")

    def text(self, x: float, y: float, text: str, kind: str) -> None:
        """Write at a pixel.

        Args:
            x: pixel.
            y: pixel of the line.
            text: what is written.
            kind: class of the style sheet.
        """
        inner = tag("text", clean(text), class_=kind, x=places(x), y=places(y))
        self._items.append(((None, ""), inner))

    def in_strip(self, height: float) -> float:
        """Return the pixel of a height from 0, the bottom of the panel, to 1, its top."""
        return self.bottom - height * (self.bottom - self.top)

    def middle_of_strip(self) -> float:
        """Return the pixel of the middle of the strip."""
        strip = self.place.y.strip
        if strip is None:
            return self.bottom
        return (self.y.clipped(strip.low) + self.y.clipped(strip.high)) / 2

    # The panel as a whole.

    def svg(self, label: str) -> Markup:
        """Return the panel; `label` tells what it shows."""
        told = any("data-w" in item or "data-r" in item for _, item in self._items)
        groups = [
            tag("g", *(item for _, item in own), class_=color, data_w=words or None)
            for (color, words), own in groupby(self._items, key=lambda one: one[0])
        ]
        return tag(
            "svg",
            *axes(self),
            *groups,
            class_="panel",
            viewBox=f"0 0 {places(self.size.width)} {places(self.total)}",
            role="img",
            tabindex="0" if told else None,
            aria_label=label,
            data_w=self.name or None,
            data_x=what(self.place.x.label) if told else None,
            data_y=what(self.place.y.label) if told else None,
        )

    def _put(
        self,
        x: float,
        y: float,
        color: Any,
        marker: Any,
        size: float,
        hollow: bool,
        words: Words | None,
        run: int | None,
    ) -> None:
        """Draw a mark at a pixel, as `mark`."""
        if not (np.isfinite(x) and self.top - 6 <= y <= self.bottom + 6):
            return
        shape = self.shared.mark(marker, round(size * PIXELS, 1))
        kind = "m h" if hollow or marker in ("x", "+", "_", "|") else "m"
        self._add("use", kind, color, words, run, href=f"#{shape}", x=places(x), y=places(y))

    def _thinned(self, *columns: np.ndarray) -> list[np.ndarray]:
        """Return at most as many points as the detail has, among them the first and the last."""
        n = len(columns[0])
        if n <= self.detail.points:
            return list(columns)
        kept = np.unique(np.linspace(0, n - 1, self.detail.points).astype(int))
        return [column[kept] for column in columns]

    def _bar(
        self, x0: float, y0: float, x1: float, y1: float, color: Any, width: float, words: Words | None
    ) -> None:
        d = f"M{places(x0)} {places(y0)}" + (f"H{places(x1)}" if y0 == y1 else f"V{places(y1)}")
        kind = "l w" if width > 2.5 else "l"
        self._add("path", kind, color, words, None, d=d, stroke_width=places(width))

    def _add(
        self, name: str, kind: str, color: Any, words: Words | None, run: int | None, **shape: str | None
    ) -> None:
        row = self.run(run) if run is not None else None
        told = words.own if words and words.own and self.detail.words and row is None else None
        classes = f"{kind} i" if told or row else kind
        item = tag(name, class_=classes, data_w=told, data_r=row, **shape)
        group = words.shared if words and (told or not words.own) else ""
        self._items.append(((self.paint(color) if color is not None else None, group), item))
