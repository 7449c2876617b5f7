"""How each kind of figure paints a panel. The base is chosen by the figure's class, as its data are."""

from __future__ import annotations

import math
from functools import singledispatch
from typing import Any

import numpy as np
import pandas as pd

from normbench.analysis.variants import number
from normbench.plots import marks
from normbench.plots.chart import marks_of
from normbench.plots.figures.best_vs_equal import BestVsEqual
from normbench.plots.figures.claims import LOOKS, Claims
from normbench.plots.figures.convergence import RINGS as STUCK_RINGS
from normbench.plots.figures.convergence import Curves
from normbench.plots.figures.cost import PARTS, WHOLE, Cost
from normbench.plots.figures.heatmap import Heatmap
from normbench.plots.figures.layer_heatmap import LayerHeatmap
from normbench.plots.figures.ridge import FILL, Ridge
from normbench.plots.figures.stable_rate import LINES, StableRate
from normbench.plots.kind import FigureKind
from normbench.plots.means import ENDS
from normbench.plots.over_key import RINGS, OverKey
from normbench.plots.over_steps import OverSteps
from normbench.plots.slots import SlotKind
from normbench.plots.style import BLUE, INK
from normbench.report.canvas import Canvas
from normbench.report.words import Words, span_text

LEVELS = 32  # colors of a map
MOST_WORDS = 400  # cells of a map, each of which tells its value


@singledispatch
def paint(kind: FigureKind, c: Canvas, part: pd.DataFrame) -> None:
    """Paint a panel: by default a line with its band and marks for each color, from the shared columns."""
    for color, own in part.groupby("color", sort=True):
        style = c.style(color)
        own = own.sort_values("x")
        c.band(own["x"], own["low"], own["high"], style.color, words=c.about(color))
        words = c.about(color, f"={span_text(*_last(own))} at the end")
        c.line(own["x"], own["mean"], style.color, style.dashes, words=words)
        for row in marks_of(own):
            words = c.about(color, _where(c, row.x), f"={span_text(row.mean, row.low, row.high)}")
            c.mark(row.x, row.mean, style.color, style.marker, size=3.5, words=words)


@paint.register
def _(kind: Curves, c: Canvas, part: pd.DataFrame) -> None:
    means = part[part["mark"].isin(["trains", "stuck"])]
    for (color, mark), own in means.groupby(["color", "mark"], sort=True):
        style = c.style(color)
        own = own.sort_values("x")
        c.band(own["x"], own["low"], own["high"], style.color, words=c.about(color))
        last = own.iloc[-1]
        words = c.about(
            color,
            f"{_seeds(last['n'])}{', stuck' if mark == 'stuck' else ''}",
            f"={span_text(*_last(own))} at {c.place.x.label} {number(last['x'])}",
        )
        c.line(own["x"], own["mean"], style.color, style.dashes, words=words)
        if mark == "stuck":
            few = np.unique(np.linspace(0, len(own) - 1, STUCK_RINGS).round().astype(int))
            for row in marks_of(own.iloc[few]):
                if c.place.y.inner[0] <= row.mean <= c.place.y.inner[1]:
                    c.mark(row.x, row.mean, style.color, "o", size=3, hollow=True, words=c.about(color))
    lost = part[part["mark"] == "lost"]
    for (color, run), own in lost.groupby(["color", "run"], sort=True) if len(lost) else ():
        c.line(own["x"], own["mean"], c.style(color).color, width=0.8, run=int(run))
    for row in marks_of(part[part["mark"] == "end"]):
        at = c.in_strip(row.height)
        c.mark(row.x, at, c.style(row.color).color, "x", size=3.4, run=int(row.run), pixel=True)


@paint.register
def _(kind: OverKey, c: Canvas, part: pd.DataFrame) -> None:
    floor = c.place.y.inner[0]
    for color, own in part.groupby("color", sort=True):
        style = c.style(color)
        own = own.sort_values("x")
        ceiling = None if c.place.y.log or own["mean"].max() > 1 else 1.0
        low, high = (own[name].clip(floor, ceiling) for name in ("low", "high"))
        drawn = own[np.isfinite(own["mean"])]
        low = low.where(np.isfinite(own["mean"]))
        c.band(own["x"], low, high, style.color, words=c.about(color))
        c.line(drawn["x"], drawn["mean"], style.color, style.dashes, words=c.about(color))
        for row in marks_of(own):
            words = c.about(color, _where(c, row.x), _point(row))
            at = c.in_strip(row.height)
            if row.crashed and c.place.y.strip is not None:
                c.mark(row.x, at, style.color, marks.crash(), size=4.5, hollow=True, words=words, pixel=True)
            if row.diverged and c.place.y.strip is not None:
                sign = "x" if row.diverged == row.n else "+"
                c.mark(row.x, at, style.color, sign, size=3.8, words=words, pixel=True)
            if np.isfinite(row.mean):
                if row.best:
                    c.mark(
                        row.x,
                        row.mean,
                        style.color,
                        RINGS[row.best],
                        size=9,
                        hollow=True,
                        words=c.about(color),
                    )
                c.mark(row.x, row.mean, style.color, style.marker, hollow=row.stuck > 0, words=words)


@paint.register
def _(kind: SlotKind, c: Canvas, part: pd.DataFrame) -> None:
    if not len(part):
        return
    strip = c.middle_of_strip()
    above = c.place.y.strip is not None and c.place.y.strip.low >= c.place.y.inner[1]
    for row in marks_of(part):
        style, seed = c.style(row.color), f"seed {row.seed:g}" if row.seed == row.seed else ""
        if row.mark == "summary":
            text = span_text(row.mean, row.low, row.high)
            words = c.about(row.color, f"={text}, over seeds")
            if np.isfinite(row.low):
                c.pole(row.x, row.low, row.high, style.color, 1.4, words)
            if np.isfinite(row.mean) or (above and row.mean == math.inf):
                beyond = np.isinf(row.mean)
                at = strip if beyond else row.mean
                c.mark(row.x, at, style.color, "_", size=8, words=words, pixel=bool(beyond))
            continue
        value = {"lost": c.place.y.strip.text if c.place.y.strip else "no value", "crash": "crashed"}
        known = (
            span_text(row.mean, row.low, row.high) if row.mark != "hole" else f"trains again at {row.mean:g}"
        )
        words = c.about(row.color, seed, value.get(row.mark, f"={known}"))
        if row.mark == "lost" or (row.mark == "crash" and np.isnan(row.mean)):
            sign = "x" if row.mark == "lost" else marks.crash()
            c.mark(row.x, strip, style.color, sign, size=4, hollow=True, words=words, pixel=True)
        elif row.mark == "crash":
            c.mark(row.x, row.mean, style.color, marks.crash(), hollow=True, words=words)
        elif row.mark == "hole":
            c.mark(row.x, row.mean, style.color, "+", words=words)
        else:
            if np.isfinite(row.low):
                c.pole(row.x, row.low, row.high, style.color, 4)
            if row.mark == "open":
                c.mark(row.x, row.high, style.color, marks.arrow(), size=7, hollow=True)
            c.mark(row.x, row.mean, style.color, style.marker, size=4, hollow=True, words=words)


@paint.register
def _(kind: OverSteps, c: Canvas, part: pd.DataFrame) -> None:
    for (color, mark), own in part.groupby(["color", "mark"], sort=True):
        style = c.style(color)
        own = own.sort_values("x")
        if mark == "range":
            c.band(own["x"], own["low"], own["high"], style.color, strong=True)
            last = own.iloc[-1]
            words = c.about(
                color,
                f"={number(float(last['low']))} to {number(float(last['high']))} at the end",
            )
            for edge in ("low", "high"):
                c.line(own["x"], own[edge], style.color, style.dashes, 1.0, words)
            if len(own) == 1:
                c.pole(last["x"], last["low"], last["high"], style.color, 4, words)
        elif mark == "line":
            c.band(own["x"], own["low"], own["high"], style.color, words=c.about(color))
            words = c.about(color, f"={span_text(*_last(own))} at step {number(own['x'].iloc[-1])}")
            c.line(own["x"], own["mean"], style.color, style.dashes, words=words)
        else:
            for run, line in own.groupby("run"):
                c.line(line["x"], line["mean"], style.color, width=0.8, run=int(run))


@paint.register
def _(kind: BestVsEqual, c: Canvas, part: pd.DataFrame) -> None:
    for row in marks_of(part):
        style, rate = (
            c.style(row.color),
            f"learning rate {number(row.lr)}{' !' * bool(row.edge and not row.block)}",
        )
        words = Words(str(c.place.y.names[int(row.color)]), f"{rate}; {_point(row, '@')}")
        drawn = bool(np.isfinite(row.mean))
        x = row.mean if drawn else c.x.low
        up = c.y.at(row.color) - (8 if drawn else 0)
        if row.diverged:
            sign = "x" if row.diverged == row.n else "+"
            c.mark(x, up, style.color, sign, size=4, words=words, pixel=True)
        if row.crashed:
            c.mark(x, up, style.color, marks.crash(), hollow=True, words=words, pixel=True)
        if np.isfinite(row.low):
            c.bar(row.low, row.high, row.color, style.color, 1.4)
        if drawn:
            c.mark(row.mean, row.color, style.color, style.marker, hollow=row.stuck > 0, words=words)


@paint.register
def _(kind: Claims, c: Canvas, part: pd.DataFrame) -> None:
    (row,) = marks_of(part)
    low, high = c.x.low, c.x.high
    middle = 1.0 if c.place.x.log else 0.0
    ends = [c.x.clipped(x) for x in (row.expected_low, row.expected_high)]
    if np.isnan(ends).any():
        ends = [c.left, c.right]
    c.region(*ends)
    if low < middle < high:
        c.upright(middle)
    look: Any = LOOKS[row.mark]
    words = Words("", f"{row.mark}: {span_text(row.mean, row.low, row.high)}, n = {row.n}")
    if not np.isnan([row.low, row.high]).any():
        c.bar(row.low, row.high, 0, look["color"], 2, words)
        for end, sign, at in ((row.low, "<", low), (row.high, ">", high)):
            if not low <= end <= high:
                c.mark(at, 0, look["color"], sign, size=6)
    if low <= row.mean <= high:
        hollow = look["mfc"] == "white"
        c.mark(row.mean, 0, look["color"], look["marker"], size=6, hollow=hollow, words=words)


@paint.register
def _(kind: Heatmap, c: Canvas, part: pd.DataFrame) -> None:
    scale = c.chart.scale
    assert scale is not None
    c.background()
    for row in marks_of(part):
        outcome = ", ".join(f"{getattr(row, word)} {word}" for word in ENDS if getattr(row, word))
        names = f"{c.place.x.names[int(row.x)]}, {c.place.y.names[int(row.y)]}"
        text = f"{scale.label.split(' (')[0]} {span_text(row.mean, row.low, row.high)}"
        words = Words("", f"{names}; {text}; of {_seeds(row.n)}: {outcome}")
        known = bool(np.isfinite(row.mean))
        fill = _fill(scale, row.mean) if known else "#0000"
        c.box(row.x - 0.48, row.x + 0.48, row.y - 0.47, row.y + 0.47, fill, words)
        whole = next((word for word in ENDS if getattr(row, word) == row.n), None)
        sign = {"trains": "", "stuck": "○", "diverged": "×", "crashed": "⊠"}.get(
            whole or "", f"{row.trains}/{row.n}{'!' * bool(row.crashed)}"
        )
        if sign:
            light = known and row.mean <= (scale.low + scale.high) / 2
            kind_ = "cell light" if light else "cell dark" if known else "cell"
            c.text(c.x.at(row.x), c.y.at(row.y) + 3.5, sign, kind_)


@paint.register
def _(kind: LayerHeatmap, c: Canvas, part: pd.DataFrame) -> None:
    scale = c.chart.scale
    assert scale is not None
    part = part[np.isfinite(part["mean"])]
    c.background()
    if len(part) <= MOST_WORDS and c.detail.words:
        for row in marks_of(part):
            words = Words("", f"step {row.step:,}, {row.layer}; {number(float(f'{row.mean:.4g}'))}")
            c.box(row.x - 0.5, row.x + 0.5, row.y - 0.5, row.y + 0.5, _fill(scale, row.mean), words)
        return
    for y, own in part.sort_values("x").groupby("y", sort=True):
        fills = [_fill(scale, value) for value in own["mean"]]
        xs = own["x"].to_list()
        first = 0
        for i in range(1, len(xs) + 1):
            if i == len(xs) or fills[i] != fills[first] or xs[i] != xs[i - 1] + 1:
                c.box(xs[first] - 0.5, xs[i - 1] + 0.5, y - 0.5, y + 0.5, fills[first])
                first = i


@paint.register
def _(kind: StableRate, c: Canvas, part: pd.DataFrame) -> None:
    for mark, color, sign, offset, text in LINES:
        for row in marks_of(part[part["mark"] == mark]):
            name = c.place.y.names[int(row.color)]
            known = span_text(row.mean, row.low, row.high)
            words = Words("", f"{name}; {text}: {known}, n = {row.n:g}")
            if np.isfinite(row.low):
                c.bar(row.low, row.high, row.color + offset, color, 1.4, words)
            size = 9 if sign == "|" else 4.5
            c.mark(row.mean, c.y.at(row.color + offset), color, sign, size=size, words=words, pixel=True)


@paint.register
def _(kind: Ridge, c: Canvas, part: pd.DataFrame) -> None:
    levels = len(c.place.y.names)
    for level, own in part.groupby("level", sort=True):
        base = levels - 1 - int(str(level))
        own = own.sort_values("x")
        xs, tops = own["x"].to_numpy(float), own["height"].to_numpy(float) + base
        half = (xs[1] - xs[0]) / 2 if len(xs) > 1 else 0.5
        px = np.repeat(np.append(xs - half, xs[-1] + half), 2)[1:-1]
        py = np.repeat(tops, 2)
        c.band(px, np.full(len(px), float(base)), py, FILL, strong=True)
        c.line(px, py, BLUE, width=1.0, words=Words("", c.place.y.names[base]))


@paint.register
def _(kind: Cost, c: Canvas, part: pd.DataFrame) -> None:
    label = c.place.x.label
    for row in marks_of(part[part["mark"] != WHOLE]):
        text, color = PARTS[row.mark]
        words = Words(c.place.y.names[int(row.color)], f"{text}: {row.mean:.3g}, {label}")
        ends = (row.left, row.left + row.mean)
        c.bar(*ends, row.color, color, 11, words)
    for row in marks_of(part[part["mark"] == WHOLE]):
        known = span_text(row.mean, row.low, row.high)
        words = Words(c.place.y.names[int(row.color)], f"whole step: {known}, {label}")
        if np.isfinite(row.low):
            c.bar(row.low, row.high, row.color, INK, 1.2)
        c.mark(row.mean, row.color, INK, "|", size=9, words=words)


def _seeds(n: float) -> str:
    return f"{int(n)} seed{'' if n == 1 else 's'}"


def _last(own: pd.DataFrame) -> tuple[float, float, float]:
    row = own.iloc[-1]
    return float(row["mean"]), float(row["low"]), float(row["high"])


def _where(c: Canvas, x: float) -> str:
    """Return the value of the horizontal axis in words."""
    axis = c.place.x
    return f"@{axis.names[round(x)] if axis.names else number(float(x))}"


def _point(row: Any, sign: str = "=") -> str:
    """Return a mean and how the seeds ended, in words."""
    ended = ", ".join(f"{int(getattr(row, word))} {word}" for word in ENDS if getattr(row, word))
    return f"{sign}{span_text(row.mean, row.low, row.high)}; {_seeds(row.n)}: {ended}"


def _fill(scale: Any, value: float) -> str:
    """Return the color of a value on a map."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    low, high = scale.low, scale.high
    if scale.log:
        low, high, value = math.log(low), math.log(high), math.log(max(value, 1e-300))
    share = min(max((value - low) / ((high - low) or 1.0), 0.0), 1.0)
    return str(to_hex(colormaps["cividis"](round(share * (LEVELS - 1)) / (LEVELS - 1))))
