"""Sets up the axes of a panel as its chart describes them: scales, limits, ticks, strips."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import (
    FixedFormatter,
    FixedLocator,
    FuncFormatter,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from normbench.analysis.variants import number
from normbench.plots.chart import Axis, Place, Strip
from normbench.plots.labels import LINE, parts, turned, width
from normbench.plots.style import GREY, PALE, Look, clean, thousands

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEW = 5  # values, each of which gets a tick
PLAIN = [1, 2, 2.5, 5, 10]  # steps between ticks


def set_axes(ax: Axes, look: Look) -> None:
    """Set scales, limits and ticks of both axes, draw their levels and strips."""
    for which, axis in (("y", look.y), ("x", look.x)):
        _set(ax, which, axis, look)
    if look.y.level is not None:
        ax.axhline(look.y.level, color=GREY, lw=0.9, ls=(0, (2, 2)), zorder=1)
    if look.y.strip is not None:
        _strip(ax, look.y.strip, look)


def share_limits(panels: Mapping[Place, Axes], starts: Sequence[int]) -> None:
    """Give panels that are compared the same limits where the chart sets none: those of all their data.

    The panels of a block have a vertical axis in common, and all panels the horizontal one if it is the same.
    Axes that matplotlib shares look at all others at each look at a limit: of hundreds, they take minutes.

    Args:
        panels: with all that is drawn on them.
        starts: the first row of each block.
    """
    if len({place.x for place in panels}) == 1:
        _share([ax for place, ax in panels.items() if place.x.limits is None], "x")
    for start, stop in zip(starts, [*starts[1:], math.inf], strict=True):
        block = {place: ax for place, ax in panels.items() if start <= place.row < stop}
        _share([ax for place, ax in block.items() if place.y.limits is None], "y")


def _share(panels: Sequence[Axes], which: str) -> None:
    """Give panels the limits of all their data; `which` is `x` or `y`."""
    known = [value for ax in panels for value in getattr(ax.dataLim, f"interval{which}")]
    known += [getattr(ax.dataLim, f"minpos{which}") for ax in panels]  # of a logarithmic axis
    points = [(value, value) for value in known if np.isfinite(value)]
    if len(panels) < 2 or not points:
        return
    first, *others = panels
    first.update_datalim(points, updatex=which == "x", updatey=which == "y")
    first.autoscale_view(scalex=which == "x", scaley=which == "y")
    for ax in others:
        ax.set(**{f"{which}lim": getattr(first, f"get_{which}lim")()})


def _set(ax: Axes, which: str, axis: Axis, look: Look) -> None:
    """Set one axis; `which` is `x` or `y`."""
    own: Any = ax.xaxis if which == "x" else ax.yaxis
    if axis.linear:
        getattr(ax, f"set_{which}scale")("symlog", linthresh=axis.linear, linscale=0.5)
    elif axis.log:
        ax.set(**{f"{which}scale": "log"})
    if axis.limits is not None:
        ax.set(**{f"{which}lim": axis.limits})
    if axis.kind == "step":
        _steps(ax, axis, look.width)
    elif axis.names:
        _names(ax, which, axis, look)
    elif axis.kind == "values" and which == "x":
        value_ticks(own, axis.values, look.width, look.font)
    elif axis.kind == "values" and len(axis.values) <= FEW:
        _fixed(own, axis.values, [number(value) for value in axis.values])
    elif axis.log:
        low, high = axis.inner
        plain_log(own, low or axis.linear, high, (0.0,) * bool(axis.linear))
        if which == "x":
            _leave_out(own, look)
        if axis.whole:
            ticks = [t for t in own.get_major_locator()() if t >= 1]
            _fixed(own, ticks, [f"{t:,.0f}" for t in ticks])
    elif which == "x":
        most = max(2, min(5, int(look.width / 0.6)))
        if axis.whole:
            own.set_major_formatter(FuncFormatter(thousands))
        while True:
            own.set_major_locator(MaxNLocator(most, steps=[1, 2, 5, 10], integer=axis.whole))
            if most == 1 or _have_room(own, look):
                break
            most -= 1
    else:
        low, high = axis.inner
        ticks = [
            t
            for t in MaxNLocator(5, steps=PLAIN, integer=axis.whole).tick_values(low, high)
            if low <= t <= high
        ]
        own.set_major_locator(FixedLocator(ticks))
        if axis.whole:
            own.set_major_formatter(FuncFormatter(thousands))


def _have_room(own: Any, look: Look) -> bool:
    """Return whether the labels of a linear horizontal axis do not touch."""
    low, high = own.get_view_interval()
    ticks = [t for t in own.get_major_locator()() if low <= t <= high]
    if len(ticks) < 2:
        return True
    texts = own.get_major_formatter().format_ticks(ticks)
    apart = look.width * (ticks[1] - ticks[0]) / (high - low)
    return bool(max(width(text, look.points(look.font - 0.5)) for text in texts) < apart)


def _leave_out(own: Any, look: Look) -> None:
    """Leave out every second tick of a horizontal axis until their labels have room beside each other."""
    ticks = list(own.get_major_locator()())
    while len(ticks) > 2 and sum(width(number(t), look.font) + 0.08 for t in ticks) > look.width:
        ticks = ticks[::2]
        _fixed(own, ticks, [number(t) for t in ticks])


def _names(ax: Axes, which: str, axis: Axis, look: Look) -> None:
    names = in_lines(axis, look.points(look.font - 0.5))
    shown = list(range(len(names)))
    if axis.kind == "thinned":
        shown = _with_room(names, look) if which == "x" else shown[:: -(-len(names) // _lines(look))]
    ax.set(**{f"{which}ticks": shown, f"{which}ticklabels": [names[i] for i in shown]})
    if which == "x" and axis.kind == "thinned" and turned(names, look.width, look.font):
        ax.tick_params(axis="x", labelrotation=90)
    if axis.kind in ("names", "rows"):
        ax.grid(False, axis="x" if which == "x" else "y")
    if axis.separated:
        for edge in np.arange(0.5, len(names) - 1):
            ax.axvline(edge, color="#D5D5D5", lw=0.6, zorder=0.7)


def in_lines(axis: Axis, font: float) -> list[str]:
    """Return the names of an axis, broken into lines where the axis says so."""
    if not axis.inches:
        return [clean(name) for name in axis.names]
    return ["\n".join(parts(name, axis.inches, font)) for name in axis.names]


def _lines(look: Look) -> int:
    """Return how many lines of text fit beside a panel."""
    return max(1, int(look.height / 0.14))


def _with_room(names: Sequence[str], look: Look) -> list[int]:
    """Return which names have room below a panel: from the first on in equal steps."""
    room = LINE if turned(names, look.width, look.font) else 0.0
    step = max(1, math.ceil(room * len(names) / look.width))
    return list(range(0, len(names), step))


def _steps(ax: Axes, axis: Axis, inches: float) -> None:
    """Set an axis of steps; where they are spaced logarithmically, so is the axis."""
    steps = np.unique(axis.values)
    end = float(steps[-1]) if len(steps) and steps[-1] > 0 else 1.0
    ax.xaxis.set_major_formatter(FuncFormatter(thousands))
    if len(steps) > 4 and np.median(steps) < 0.15 * end:
        first = int(steps[steps > 0][0])
        ax.set_xscale("symlog", linthresh=first, linscale=0.4)
        ax.set_xlim(-0.15 * first, end * 1.1)
        decades = 10.0 ** np.arange(np.ceil(np.log10(first)), np.log10(end) + 0.01)
        room = max(2, int(inches / 0.45))
        ax.set_xticks([0, *decades[:: -(-len(decades) // room)]])
        ax.xaxis.set_major_formatter(FuncFormatter(thousands))
        ax.minorticks_off()
        return
    ax.set_xlim(-0.02 * end, end * 1.02)
    whole = axis.whole or end >= FEW
    ax.xaxis.set_major_locator(MaxNLocator(max(2, int(inches / 0.5)), integer=whole, steps=[1, 2, 5, 10]))
    if not whole:
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(round(value, 9))))


def _strip(ax: Axes, strip: Strip, look: Look) -> None:
    """Shade the strip and write its text."""
    over = 4.5 if strip.side != "tick" else 0.6  # over the lines that leave the panel, or below the marks
    ax.axhspan(strip.low, strip.high, color=PALE, lw=0, zorder=over)
    middle = math.sqrt(strip.low * strip.high) if look.y.log else (strip.low + strip.high) / 2
    if strip.side == "tick":
        ticks = [float(t) for t in ax.get_yticks() if not strip.low <= t <= strip.high]
        line = look.points(look.font - 0.5) / 72 - 0.01  # inches that the text of the strip takes
        ticks = [t for t in ticks if abs(_place(ax, t) - _place(ax, middle)) * look.height >= line]
        texts = [f"{t:,.0f}" if abs(t) >= 1000 else number(t) for t in ticks]
        _fixed(ax.yaxis, [*ticks, middle], [*texts, strip.text])
    elif strip.side:
        x, side = (0.985, "right") if strip.side == "right" else (0.015, "left")
        ax.text(
            x,
            middle,
            strip.text,
            transform=ax.get_yaxis_transform(),
            size=look.points(7),
            color=GREY,
            va="center",
            ha=side,
            zorder=over + 0.1,
        )


def _place(ax: Axes, y: float) -> float:
    """Return where a value is on the vertical axis: 0 at the bottom, 1 at the top."""
    return float(ax.transLimits.transform(ax.transScale.transform((1.0, y)))[1])


def _fixed(own: Any, ticks: Sequence[float], texts: Sequence[str], minor: Sequence[float] = ()) -> None:
    own.set_major_locator(FixedLocator(list(ticks)))
    own.set_major_formatter(FixedFormatter(list(texts)))
    own.set_minor_locator(FixedLocator(list(minor)) if len(minor) else NullLocator())
    own.set_minor_formatter(NullFormatter())


def value_ticks(own: Any, values: Sequence[float], inches: float, font: float) -> None:
    """Label a logarithmic axis with plain numbers: the decades that fit, or the values themselves.

    Args:
        own: matplotlib's axis, `ax.xaxis` or `ax.yaxis`.
        values: shown on it.
        inches: its length.
        font: size of the labels, in points.
    """
    values = sorted({float(v) for v in values if v > 0 and np.isfinite(v)})
    low, high = values[0], values[-1]
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    decades = [10.0**k for k in range(first, last + 1)]
    ticks = decades if len(decades) >= 2 else values
    widest = max(len(number(t)) for t in ticks) * 0.66 * font / 72 + 0.08
    share = math.log10(ticks[-1] / ticks[0]) / max(1e-9, math.log10(high / low) + 0.1)
    room = max(1, int(inches * max(0.3, share) / widest))
    ticks = ticks[:: max(1, math.ceil((len(ticks) - 1) / room))]
    _fixed(own, ticks, [number(t) for t in ticks], values if len(values) < 60 else ())


def plain_log(own: Any, low: float, high: float, more: Sequence[float] = ()) -> None:
    """Label a logarithmic axis with plain numbers at 1, 2, 5 (or at decades, if it spans many).

    Args:
        own: matplotlib's axis.
        low: where it begins.
        high: where it ends.
        more: further ticks.
    """
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [m * 10.0**k for k in exponents for m in steps if low <= m * 10.0**k <= high]
        if len(ticks) <= 5:
            break
    ticks = [*more, *(ticks[:: -(-len(ticks) // 6)] if len(ticks) > 6 else ticks)]
    _fixed(own, ticks, [number(t) for t in ticks])
