"""The legends of a page: as many entries in a row as fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from normbench.plots.labels import wrap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Handles = Sequence[tuple[Any, str]]


def place_legends(
    figure: Figure, legends: Sequence[tuple[str, Handles]], total: float, size: float, scale: float
) -> tuple[float, list[tuple[Any, float]]]:
    """Make the legends of a page, still without a place.

    Args:
        figure: the page.
        legends: the name of each legend and its entries.
        total: inches of the page's width.
        size: points of the letters.
        scale: how much larger the page will be. Legends have this size already.

    Returns:
        The height of all legends, then each legend with its own height, in inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    dots = scale * figure.dpi
    figure.set_size_inches(scale * total, 6)
    canvas = FigureCanvasAgg(figure)
    placed: list[tuple[Any, float]] = []
    for name, entries in legends:
        if not entries:
            continue
        handles = [h for h, _ in entries]
        room = total - 0.9  # beside the handle
        labels = ["\n".join(wrap(text, room, size)) for _, text in entries]
        labels = [text if not text.startswith("_") else " " + text for text in labels]
        for columns in range(min(len(labels), 12), 0, -1):
            order = _by_rows(len(labels), columns)
            legend = figure.legend(
                [handles[i] for i in order],
                [labels[i] for i in order],
                ncols=columns,
                title="\n".join(wrap(name, total - 0.3, size)) or None,
                loc="upper left",
                alignment="left",
                fontsize=scale * size,
                title_fontsize=scale * size,
                borderaxespad=0.0,
                columnspacing=1.4,
                handlelength=4.6 if any(map(_dashed, handles)) else 2.4,
                labelspacing=0.3,
            )
            box = legend.get_window_extent(canvas.get_renderer())
            if box.width / dots < total - 0.2 or columns == 1:
                placed.append((legend, box.height / dots + 0.02))
                break
            legend.remove()
    return sum(t for _, t in placed) + (0.06 if placed else 0.0), placed


def _dashed(handle: Any) -> bool:
    """Return whether a sample of a line must be long, because a mark hides the dashes of a short one."""
    from matplotlib.lines import Line2D

    return isinstance(handle, Line2D) and handle.is_dashed() and bool(handle.get_marker())


def _by_rows(n: int, columns: int) -> list[int]:
    """Return the order in which a legend, which fills its columns, reads row by row."""
    return [i for first in range(columns) for i in range(first, n, columns)]
