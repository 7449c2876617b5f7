"""How all figures look: colors that color-blind readers tell apart, markers, fonts. Text is never math."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from normbench.analysis.variants import Levels
from normbench.names import VARIANT
from normbench.plots.chart import Axis, ColorScale
from normbench.plots.fonts import FAMILY, drawable

# The colors of Okabe and Ito, with a dark ochre for their yellow, which is too pale on white.
BLACK, ORANGE, SKY, GREEN, BLUE, RED, PINK, OCHRE = (
    *("#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#7F6A00"),
)
GREY, PALE, INK = "#6B6B6B", "#ECECEC", "#222222"
CYCLE = (BLUE, RED, GREEN, PINK, ORANGE, SKY, BLACK, OCHRE)
NORM_COLORS = {  # so that figures of several experiments can be compared; others take what is free
    "none": BLACK,
    "batchnorm": BLUE,
    "layernorm": RED,
    "weightnorm": GREEN,
    "mean_only_batchnorm": SKY,
    "weightnorm_mean_only_batchnorm": PINK,
    "selu": ORANGE,
}
MARKERS = ("o", "s", "^", "D", "v", "*", "h", "<", ">", "p")
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1.5, 1.2)),
    (0, (5, 1.5, 1.2, 1.5)),
    (0, (8, 2)),
    (0, (3, 1)),
)
FEW = 6  # numbers that a reader finds one by one in a legend

RC: dict[str, Any] = {
    "font.family": [FAMILY],
    "font.size": 9,
    "text.parse_math": False,  # a title with two dollar signs is text
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.unicode_minus": False,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.minor.size": 1.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "legend.frameon": False,
    "svg.fonttype": "path",
    "pdf.fonttype": 42,  # TrueType: journals refuse the outlines of type 3
    "svg.hashsalt": "normbench",  # the same figure gives the same bytes
}

# Settings of a matplotlibrc that stay as they are here: pages are laid out and measured with them.
FIXED = ("text.usetex", "text.parse_math", "font.family", "font.size", "svg.hashsalt", "savefig.bbox")
FIXED_GROUPS = ("backend", "figure.", "date.", "interactive", "toolbar", "keymap.", "webagg.", "tk.")


def own_settings() -> dict[str, Any]:
    """Return what the user's matplotlibrc sets, apart from what the layout depends on."""
    import matplotlib

    usual, chosen = matplotlib.rcParamsDefault, matplotlib.rcParamsOrig
    keys = [key for key in chosen if key not in FIXED and not key.startswith(FIXED_GROUPS)]
    return {key: chosen[key] for key in keys if chosen[key] != usual[key]}


@dataclass(frozen=True)
class Style:
    """Color, marker and dashes of one level."""

    color: Any
    marker: str
    dashes: Any


@dataclass(frozen=True)
class Look:
    """How one panel looks: the style of each color, its size in inches, its font, its axes."""

    styles: Sequence[Style]
    width: float
    height: float
    font: float  # in points
    x: Axis
    y: Axis
    scale: ColorScale | None = None  # of a map
    letters: float = 0.0  # points of the smallest letters

    def of(self, color: Any) -> Style:
        """Return the style of a code of the frame's column `color`."""
        return self.styles[int(color)]

    def points(self, size: float) -> float:
        """Return the size of letters that are usually of this size."""
        return max(size, self.letters)


def on_scale(colors: Levels) -> bool:
    """Return whether the levels are many numbers, whose order their colors show: dashes would hide it."""
    return _numeric(colors) and len(colors) > FEW


def _numeric(colors: Levels) -> bool:
    values = [row[0] for row in colors.values] if len(colors.keys) == 1 else []
    return bool(values) and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)


def styles_of(colors: Levels) -> list[Style]:
    """Return a style for each level: numbers on a sequential scale, words in colors of their own."""
    n = len(colors)
    if (_numeric(colors) and n > 2) or n > len(CYCLE):
        from matplotlib import colormaps

        scale = colormaps["viridis"](np.linspace(0.0, 0.88, n))  # its yellow end is too pale for lines
        dashes = DASHES[:1] if on_scale(colors) else DASHES[:3]
        return [
            Style(tuple(c), MARKERS[i % len(MARKERS)], dashes[i % len(dashes)]) for i, c in enumerate(scale)
        ]
    own = colors.keys == (VARIANT,)
    free = [c for c in CYCLE if not own or c not in {NORM_COLORS.get(str(row[0])) for row in colors.values}]
    result = []
    for i, row in enumerate(colors.values):
        fixed = NORM_COLORS.get(str(row[0])) if own else None
        color = fixed or (free.pop(0) if free else CYCLE[i % len(CYCLE)])
        result.append(Style(color, MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)]))
    return result


def clean(text: object) -> str:
    """Return text without characters that SVG cannot hold, and a square for those that no font has."""
    return drawable("".join(c if c.isprintable() else " " for c in str(text)))


def thousands(value: float, _: int | None = None) -> str:
    """Return a step as the label of a tick."""
    return f"{value:,.0f}" if abs(value) < 1e4 else f"{value / 1000:,.0f}k"
