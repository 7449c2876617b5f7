"""The bar that tells what the colors of a map, or of many lines, mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from normbench.plots.axes import plain_log
from normbench.plots.chart import ColorScale
from normbench.plots.labels import balanced, width
from normbench.plots.sheet import Sheet
from normbench.plots.style import clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BAR = 0.14  # its width, in inches
LINE = 0.13  # height of a label


def color_bar(figure: Figure, sheet: Sheet, mesh: Any, scale: ColorScale) -> None:
    """Put the scale of the colors to the right of the panels.

    Args:
        figure: the page.
        sheet: its panels.
        mesh: what matplotlib colored.
        scale: the label of the colors.
    """
    ax, tall = _axes(figure, sheet, 2.6, "color bar")
    bar = figure.colorbar(mesh, cax=ax)
    bar.outline.set_visible(False)  # type: ignore[operator]
    if ax.get_yscale() == "log":
        plain_log(ax.yaxis, *ax.get_ylim())
    ax.tick_params(labelsize=sheet.points(7.5))
    ax.grid(False)
    size = sheet.points(8.0)
    if tall > 1.2:
        bar.set_label("\n".join(balanced(scale.label.split(" (")[0], tall, size)), fontsize=size)
    else:
        ax.set_title(scale.short, fontsize=sheet.points(7.0))


def level_bar(figure: Figure, sheet: Sheet, labels: Sequence[str], colors: Sequence[Any], name: str) -> None:
    """Put a bar with a cell for each level to the right of the panels, the smallest at the bottom.

    Args:
        figure: the page.
        sheet: its panels.
        labels: of the levels.
        colors: of the levels.
        name: what the levels are.
    """
    n = len(labels)
    ax, tall = _axes(figure, sheet, max(2.6, LINE * n), "level bar")
    ax.barh(range(n), 1.0, height=1.0, color=list(colors), edgecolor="white", linewidth=0.5)
    ax.set(xlim=(0, 1), ylim=(-0.5, n - 0.5), xticks=[])
    step = max(1, math.ceil(LINE * n / tall))
    ax.set_yticks(range(0, n, step), [clean(text) for text in labels[::step]])
    ax.yaxis.tick_right()
    ax.tick_params(labelsize=sheet.points(7.5), length=2)
    ax.spines[:].set_visible(False)
    ax.grid(False)
    side: dict[str, Any] = {"rotation": 270, "va": "center", "ha": "left", "fontsize": sheet.points(8.0)}
    ax.text(
        1.0 + (0.1 + _widest(labels, sheet.points(7.5))) / BAR,
        0.5,
        clean(name),
        transform=ax.transAxes,
        **side,
    )


def level_room(labels: Sequence[str], size: float = 7.5) -> float:
    """Return the room to the right of the panels that such a bar needs, with letters of this size."""
    return 0.24 + 0.1 + BAR + 0.1 + _widest(labels, size) + 0.2


def _widest(labels: Sequence[str], size: float) -> float:
    return max(width(clean(text), size) for text in labels)


def _axes(figure: Figure, sheet: Sheet, most: float, label: str) -> tuple[Axes, float]:
    """Return axes at the right of the panels and their height in inches."""
    room = sheet.right - 0.24
    wide, high = figure.get_size_inches()
    boxes = [ax.get_position() for _, _, ax in sheet.panels()]
    top, bottom = max(b.y1 for b in boxes), min(b.y0 for b in boxes)
    tall = min((top - bottom) * high, most)
    place = ((wide - room) / wide, top - tall / high, BAR / wide, tall / high)
    return figure.add_axes(place, label=label), tall
