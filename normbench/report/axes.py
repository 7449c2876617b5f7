"""The axes of a panel as SVG: grid, ticks, strip, labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from normbench.plots.chart import Axis
from normbench.plots.style import clean
from normbench.report.svg import places, tag

if TYPE_CHECKING:
    from normbench.report.canvas import Canvas


def axes(c: Canvas) -> list[Markup]:
    """Return grid, axes, ticks, strip, level and labels of a panel."""
    x, y = c.place.x, c.place.y
    lines, y_texts, x_texts = [], [], []
    for value, text in c.y_ticks:
        py = c.y.at(value)
        if not c.top - 1 <= py <= c.bottom + 1:
            continue
        strip = y.strip
        if strip is not None and strip.side == "tick" and strip.low <= value <= strip.high:
            continue
        if y.kind not in ("rows",):
            lines.append(f"M{places(c.left)} {places(py)}H{places(c.right)}")
        y_texts.append(_tick(c.left - 5, py + 3.5, text, most=c.most_letters))
    for value, text in c.x_ticks:
        px = c.x.at(value)
        if not c.left - 1 <= px <= c.right + 1:
            continue
        if x.kind not in ("names", "rows"):
            lines.append(f"M{places(px)} {places(c.top)}V{places(c.bottom)}")
        down = c.bottom + 12
        turn = f"rotate(-36 {places(px)} {places(down)})" if c.turned else None
        x_texts.append(_tick(px + 3, down, text, turn, 26) if turn else _tick(px, down + 2, text))
    if x.separated:
        for edge in np.arange(0.5, len(x.names) - 1):
            lines.append(f"M{places(c.x.at(edge))} {places(c.top)}V{places(c.bottom)}")
    found = [tag("path", class_="grid", d="".join(lines))]
    for texts, kind in ((y_texts, "t e"), (x_texts, "t e" if c.turned else "t")):
        if texts:
            found.append(tag("g", *texts, class_=kind))
    frame = f"M{places(c.left)} {places(c.top)}V{places(c.bottom)}H{places(c.right)}"
    found.append(tag("path", class_="axis", d=frame))
    if y.level is not None and c.top <= c.y.at(y.level) <= c.bottom:
        level = f"M{places(c.left)} {places(c.y.at(y.level))}H{places(c.right)}"
        found.append(tag("path", class_="level", d=level))
    if y.strip is not None:
        found += _strip(c, y)
    if y.label and y.kind not in ("rows",):
        found.append(tag("text", clean(y.label), class_="n", x=places(2), y=places(10)))
    for i, text in enumerate(c.label_lines):
        down = c.total - 3 - 14 * (len(c.label_lines) - 1 - i)
        found.append(tag("text", text, class_="n e", x=places(c.right), y=places(down)))
    return found


def _strip(c: Canvas, y: Axis) -> list[Markup]:
    """Return the gray part of an axis with its text."""
    strip = y.strip
    assert strip is not None
    ends = sorted((c.y.clipped(strip.low), c.y.clipped(strip.high)))
    shape = {"x": places(c.left), "width": places(c.right - c.left)}
    found = [tag("rect", class_="strip", y=places(ends[0]), height=places(ends[1] - ends[0]), **shape)]
    middle = sum(ends) / 2 + 3.5
    if strip.side == "tick":
        found.append(tag("g", _tick(c.left - 5, middle, strip.text), class_="t e"))
    elif strip.side:
        x, kind = (c.left + 4, "t s") if strip.side == "left" else (c.right - 4, "t e")
        found.append(tag("g", _tick(x, middle, strip.text), class_=kind))
    return found


def _tick(x: float, y: float, text: str, turn: str | None = None, most: int = 40) -> Markup:
    """Return the text of a tick; one that is too long is cut, and its title has the whole.

    Args:
        x: pixel.
        y: pixel.
        text: of the tick.
        turn: an SVG transform.
        most: letters.
    """
    text = clean(text)
    short = text if len(text) <= most else f"{text[: max(3, most - 1)]}…"
    known = [tag("title", text)] if short != text else []
    return tag("text", short, *known, x=places(x), y=places(y), transform=turn)
