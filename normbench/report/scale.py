"""Scales of the pictures: from values to pixels, and which values have a tick."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from normbench.analysis.variants import number
from normbench.plots.chart import Axis

FAR = 4000.0  # pixels beyond which a mark is not drawn
Ticks = list[tuple[float, str]]


@dataclass(frozen=True)
class Scale:
    """Maps values to pixels. `knee`: below it a logarithmic scale of steps is linear."""

    low: float
    high: float
    start: float  # pixel of `low`
    end: float
    kind: Literal["linear", "log", "steps"] = "linear"
    knee: float = 1.0

    def __call__(self, values: object) -> np.ndarray:
        """Return pixels; NaN for a value that has none."""
        first, unit = self._frame
        moved = self._moved(np.asarray(values, float))
        with np.errstate(invalid="ignore"):
            pixels = self.start + (moved - first) * unit
            return np.where(np.isfinite(pixels), np.clip(pixels, -FAR, FAR), np.nan)

    @cached_property
    def _frame(self) -> tuple[float, float]:
        """Return the moved low end, and pixels for each unit."""
        first, last = (float(v) for v in self._moved(np.array([self.low, self.high], float)))
        return first, (self.end - self.start) / ((last - first) or 1.0)

    def at(self, value: float) -> float:
        """Return the pixel of one value; one that is infinite gets the end."""
        if math.isinf(value):
            return self.end if value > 0 else self.start
        first, unit = self._frame
        if self.kind == "linear":
            moved = float(value)
        elif self.kind == "log":
            moved = math.log10(value) if value > 0 else math.nan
        else:
            return float(self(value))
        return min(max(self.start + (moved - first) * unit, -FAR), FAR) if moved == moved else math.nan

    def clipped(self, value: float) -> float:
        """Return the pixel of a value, at an end if it is beyond."""
        low, high = sorted((self.start, self.end))
        pixel = self.at(value)
        if math.isnan(pixel):  # 0 on a logarithmic scale
            return self.start
        return min(max(pixel, low), high)

    def _moved(self, values: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.kind == "log":
                return np.log10(values)
            if self.kind == "steps":
                far = 0.4 + np.log10(np.maximum(values, self.knee) / self.knee)
                return np.where(values < self.knee, 0.4 * values / self.knee, far)
        return values


def scale_of(axis: Axis, data: np.ndarray, start: float, end: float) -> Scale:
    """Return the scale of an axis.

    Args:
        axis: of a panel.
        data: what all panels show on it, for an axis without limits.
        start: pixel where it begins.
        end: pixel where it ends.
    """
    if axis.kind == "step":
        return _steps(np.unique(np.asarray(axis.values, float)), start, end)
    low, high = axis.limits or _reach(axis, data)
    if axis.log and axis.linear:
        return Scale(low, high, start, end, "steps", axis.linear)
    kind: Literal["linear", "log"] = "log" if axis.log else "linear"
    return Scale(low, high, start, end, kind)


def ticks_of(axis: Axis, scale: Scale, room: float, letters: int = 5) -> Ticks:
    """Return the values of an axis that have a tick, with their texts.

    Args:
        axis: of a panel.
        scale: of the axis.
        room: pixels that a tick takes, at least.
        letters: of a tick's text, for names.
    """
    pixels = abs(scale.end - scale.start)
    most = max(2, int(pixels / room))
    if axis.kind in ("names", "thinned", "rows", "levels") or axis.names:
        step = 1
        if axis.kind == "thinned":
            step = max(1, math.ceil(len(axis.names) / max(1, int(pixels / (room * max(1, letters / 5))))))
        return [(float(i), axis.names[i]) for i in range(0, len(axis.names), step)]
    if axis.kind == "step":
        return [(value, _step(value)) for value in _step_ticks(scale, most)]
    low, high = sorted(axis.inner) if axis.limits else (scale.low, scale.high)
    if axis.kind == "values" and 0 < len(axis.values) <= min(5, most):
        return [(value, number(value)) for value in axis.values]
    if axis.log and axis.linear:
        values = [0.0, *_decades(axis.linear, high, max(2, most - 1))]
    else:
        values = _decades(low, high, most) if axis.log else _round(low, high, most)
    if axis.whole:
        values = [value for value in values if value == round(value)]
    return [(value, number(float(f"{value:.6g}"))) for value in values]


def _step(value: float) -> str:
    from normbench.plots.style import thousands

    return thousands(value)


def _reach(axis: Axis, data: np.ndarray) -> tuple[float, float]:
    """Return the limits of an axis that has none."""
    if axis.names:
        return -0.5, len(axis.names) - 0.5
    values = np.asarray(axis.values or data, float)
    values = values[np.isfinite(values) & ((values > 0) | (not axis.log))]
    if not len(values):
        return (0.1, 10.0) if axis.log else (0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    if axis.log:
        room = (high / low) ** 0.04 if high > low else 3.0
        return low / room, high * room
    room = 0.05 * (high - low) or 1.0
    return low - room, high + room


def _steps(values: np.ndarray, start: float, end: float) -> Scale:
    """Return the scale of steps, logarithmic where they are spaced so."""
    last = float(values[-1]) if len(values) and values[-1] > 0 else 1.0
    if len(values) > 4 and np.median(values) < 0.15 * last:
        return Scale(0.0, last * 1.1, start, end, "steps", float(values[values > 0][0]))
    return Scale(-0.02 * last, 1.02 * last, start, end)


def _step_ticks(scale: Scale, most: int) -> Sequence[float]:
    if scale.kind == "linear":
        return _round(0.0, scale.high, most)
    first = math.ceil(math.log10(scale.knee) - 1e-9)
    decades = [10.0**k for k in range(first, math.floor(math.log10(scale.high)) + 1)]
    return [0.0, *decades[:: -(-len(decades) // most) or 1]]


def _round(low: float, high: float, most: int) -> list[float]:
    """Return multiples of 1, 2, 2.5 or 5 times a power of ten."""
    if not high > low:
        return [low]
    unit = 10.0 ** math.floor(math.log10((high - low) / most))
    for factor in (1, 2, 2.5, 5, 10, 20):
        step = factor * unit
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            break
    return [float(f"{k * step:.10g}") for k in range(first, last + 1)]


def _decades(low: float, high: float, most: int) -> list[float]:
    """Return 1, 2, 5 times the powers of ten, or as many powers as have room."""
    if high < 8 * low:
        return [value for value in _round(low, high, most) if value > 0]
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [m * 10.0**k for k in exponents for m in steps if low <= m * 10.0**k <= high]
        if len(ticks) <= most:
            break
    return ticks[:: max(1, -(-len(ticks) // most))] or [low, high]
