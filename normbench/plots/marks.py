"""The marks that figures share, drawn: lines with bands, crosses in a strip, signs of the legend."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from normbench.analysis.variants import Levels
from normbench.plots.style import GREY, INK, Style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

SIGNS: dict[str, tuple[dict[str, Any], str]] = {
    "trains": ({"marker": "o"}, "no seed is stuck"),
    "stuck": ({"marker": "o", "mfc": "white"}, "at least one seed is stuck"),
    "diverged": ({"marker": "x", "mew": 1.4}, "every seed diverged"),
    "some diverged": ({"marker": "+", "mew": 1.0, "ms": 6}, "some seeds diverged (mean of the others)"),
    "crashed": (
        {"marker": "crash", "ms": 5, "mfc": "none"},
        "at least one seed crashed (mean of the others)",
    ),
    "best": ({"marker": "o", "mfc": "none", "ms": 9}, "best learning rate"),
    "edge": ({"marker": ">", "ms": 8, "mfc": "none"}, "best learning rate, at the grid's edge"),
    "threshold": ({"color": GREY, "ls": (0, (2, 2)), "lw": 0.9}, "at or below: trains"),
    "curve": ({"ls": "-", "lw": 1.3}, "mean of the seeds that train"),
    "stuck curve": (
        {"ls": "-", "lw": 1.3, "marker": "o", "ms": 3.2, "mfc": "white", "mew": 0.9},
        "mean of the seeds that are stuck",
    ),
    "lost": ({"marker": "x", "ls": "-", "lw": 0.7, "mew": 1.4}, "one diverged run and where it ends"),
    "thin": ({"ls": "-", "lw": 0.7}, "one diverged run"),
    "trace": ({"ls": "-", "lw": 0.7, "alpha": 0.5}, "one seed"),
    "seed": ({"marker": "o", "ms": 4, "mfc": "white"}, "one seed"),
    "never": ({"marker": "x", "mew": 1.4}, "one seed that never reaches it"),
    "no rate": ({"marker": "x", "mew": 1.4}, "one seed that trains at no rate"),
    "crash": ({"marker": "crash", "ms": 5, "mfc": "none"}, "a run that crashed"),
    "grid": ({"ls": "-", "lw": 4, "alpha": 0.25}, "from the largest rate that trains to the next rate"),
    "open": ({"marker": "arrow", "ms": 9, "mfc": "none"}, "trains up to the last rate"),
    "hole": ({"marker": "+", "ms": 6}, "a higher rate that trains again"),
    "mean": ({"marker": "_", "ms": 11, "mew": 2}, "geometric mean with 95 % interval"),
    "median": ({"marker": "_", "ms": 11, "mew": 2}, "median"),
    "stable": ({"color": GREY, "ls": (0, (2, 2)), "lw": 0.9}, "2: gradient descent is stable below"),
}


def sign_handles(names: Iterable[str]) -> list[tuple[Any, str]]:
    """Return the legend's entries for these signs, in the order of `SIGNS`."""
    from matplotlib.lines import Line2D

    wanted, own = set(names), {"arrow": arrow(), "crash": crash()}
    found = []
    for name, (look, text) in SIGNS.items():
        if name in wanted:
            look = {"ls": "none", "color": INK, **look}
            look["marker"] = own.get(look.get("marker", ""), look.get("marker", ""))
            found.append((Line2D([], [], **look), text))
    return found


def arrow() -> Any:
    """Return an arrow up as a marker; no variant has it."""
    from matplotlib.path import Path

    return Path([(0, -1), (0, 1), (-0.6, 0.3), (0, 1), (0.6, 0.3)], [1, 2, 1, 2, 2])


def crash() -> Any:
    """Return a crossed square as a marker; no variant has it."""
    from matplotlib.path import Path

    corners = [(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]
    return Path([*corners, (-1, -1), (1, 1), (-1, 1), (1, -1)], [1, 2, 2, 2, 2, 1, 2, 1, 2])


def line_handles(colors: Levels, styles: Sequence[Style], marker: bool = True) -> list[tuple[Any, str]]:
    """Return the legend's entry for each color."""
    from matplotlib.lines import Line2D

    if not colors.keys:
        return []
    return [
        (Line2D([], [], color=s.color, ls=s.dashes, marker=s.marker if marker else ""), text)
        for s, text in zip(styles, colors.labels, strict=True)
    ]


def area(ax: Axes, x: Any, low: Any, high: Any, color: Any, alpha: float) -> None:
    """Fill the band between two lines.

    Args:
        ax: to draw on.
        x: positions.
        low: lower ends of the band.
        high: upper ends.
        color: of the band.
        alpha: its opacity.
    """
    ax.fill_between(x, low, high, color=color, alpha=alpha, lw=0, zorder=2)


def lines_and_bands(ax: Axes, curves: Sequence[tuple[Style, pd.DataFrame]]) -> None:
    """Draw many curves (x, mean, low, high) as two collections, which is fast."""
    from matplotlib.collections import LineCollection, PolyCollection

    bands, fills = [], []
    for style, curve in curves:
        own = curve[np.isfinite(curve["low"].to_numpy(float))]
        if len(own) > 1:
            x, low, high = (own[name].to_numpy(float) for name in ("x", "low", "high"))
            bands.append(np.column_stack([np.r_[x, x[::-1]], np.r_[low, high[::-1]]]))
            fills.append(style.color)
    ax.add_collection(
        PolyCollection(bands, facecolors=fills, alpha=0.15, linewidths=0, zorder=2), autolim=False
    )
    lines = [curve[["x", "mean"]].to_numpy(float) for _, curve in curves]
    colors, dashes = [s.color for s, _ in curves], [s.dashes for s, _ in curves]
    ax.add_collection(
        LineCollection(lines, colors=colors, linestyles=dashes, linewidths=1.3, zorder=3), autolim=False
    )


def thin_lines(
    ax: Axes, curves: Sequence[tuple[Style, pd.DataFrame]], width: float = 0.6, alpha: float = 0.7
) -> None:
    """Draw single runs (x, mean) as one collection of thin lines.

    Args:
        ax: to draw on.
        curves: each with its style.
        width: of the lines, in points.
        alpha: their opacity.
    """
    from matplotlib.collections import LineCollection

    lines = [curve[["x", "mean"]].to_numpy(float) for _, curve in curves]
    colors = [style.color for style, _ in curves]
    ax.add_collection(
        LineCollection(lines, colors=colors, linewidths=width, alpha=alpha, zorder=2.5), autolim=False
    )


def in_strip(ax: Axes, x: Any, height: Any, sign: Any, color: Any, size: float = 3.8) -> None:
    """Draw signs at a height from 0, the bottom of the panel, to 1, its top.

    Args:
        ax: to draw on.
        x: positions.
        height: of the signs, as a share of the panel.
        sign: the marker.
        color: of the variant.
        size: of the marker, in points.
    """
    where = ax.get_xaxis_transform()
    look: dict[str, Any] = {"ls": "none", "marker": sign, "ms": size, "mew": 1.1, "mfc": "none"}
    ax.plot(x, height, color=color, transform=where, zorder=5, **look)
