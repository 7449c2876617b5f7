"""How all figures look: colours that colour-blind eyes tell apart, markers, ticks; text is never maths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from normbench.analysis.variants import Levels, number
from normbench.names import VARIANT

# Okabe and Ito's colours, its yellow (too pale on white) replaced by a dark ochre.
BLACK, ORANGE, SKY, GREEN, BLUE, RED, PINK, OCHRE = (
    *("#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#7F6A00"),
)
GREY, PALE, INK = "#6B6B6B", "#ECECEC", "#222222"
CYCLE = (BLUE, RED, GREEN, PINK, ORANGE, SKY, BLACK, OCHRE)
NORM_COLORS = {
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

RC: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
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
    "svg.hashsalt": "normbench",  # the same figure twice is the same bytes
}


class Look:
    """Colour, marker and dashes of one level."""

    def __init__(self, color: Any, marker: str, dashes: Any) -> None:
        self.color, self.marker, self.dashes = color, marker, dashes


def looks(groups: Levels) -> list[Look]:
    """Return one look for each level: numbers on a sequential scale, words in colours of their own."""
    n = len(groups)
    values = [row[0] for row in groups.values] if len(groups.keys) == 1 else []
    numeric = bool(values) and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    if (numeric and n > 2) or n > len(CYCLE):
        from matplotlib import colormaps

        scale = colormaps["viridis"](np.linspace(0.0, 0.88, n))  # its yellow end is too pale for lines
        return [Look(tuple(c), MARKERS[i % len(MARKERS)], DASHES[i % 3]) for i, c in enumerate(scale)]
    own = groups.keys == (VARIANT,)
    free = [c for c in CYCLE if not own or c not in {NORM_COLORS.get(str(v)) for v in values}]
    result = []
    for i, row in enumerate(groups.values):
        fixed = NORM_COLORS.get(str(row[0])) if own else None
        color = fixed or (free.pop(0) if free else CYCLE[i % len(CYCLE)])
        result.append(Look(color, MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)]))
    return result


def clean(text: object) -> str:
    """Return text without characters that SVG cannot hold."""
    return "".join(c if c.isprintable() else " " for c in str(text))


def rate_ticks(axis: Any, values: Sequence[float], inches: float, font: float) -> None:
    """Label a logarithmic axis with plain numbers: decades, as many as fit, else the values themselves."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter

    values = sorted({float(v) for v in values if v > 0 and np.isfinite(v)})
    low, high = values[0], values[-1]
    decades = [
        10.0**k for k in range(int(np.ceil(np.log10(low) - 1e-9)), int(np.floor(np.log10(high) + 1e-9)) + 1)
    ]
    ticks = decades if len(decades) >= 2 else values
    widest = max(len(number(t)) for t in ticks) * 0.66 * font / 72 + 0.08
    room = max(
        1,
        int(
            inches * max(0.3, np.log10(ticks[-1] / ticks[0]) / max(1e-9, np.log10(high / low) + 0.1)) / widest
        ),
    )
    step = max(1, int(np.ceil((len(ticks) - 1) / max(1, room))))
    ticks = ticks[::step]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FixedFormatter([number(t) for t in ticks]))
    axis.set_minor_locator(FixedLocator(values if len(values) < 60 else []))
    axis.set_minor_formatter(NullFormatter())


def plain_log(axis: Any, low: float, high: float) -> None:
    """Label a logarithmic axis with plain numbers at 1, 2, 5 (or decades only, where it spans many)."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter, NullLocator

    exponents = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [m * 10.0**k for k in exponents for m in steps if low <= m * 10.0**k <= high]
        if len(ticks) <= 5:
            break
    ticks = ticks[:: -(-len(ticks) // 6)] if len(ticks) > 6 else ticks
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FixedFormatter([number(t) for t in ticks]))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
