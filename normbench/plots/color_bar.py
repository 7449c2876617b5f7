"""The bar that tells what the colors of a map mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from normbench.plots.axes import plain_log
from normbench.plots.chart import ColorScale
from normbench.plots.labels import balanced
from normbench.plots.sheet import Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def color_bar(figure: Figure, sheet: Sheet, mesh: Any, scale: ColorScale) -> None:
    """Put the scale of the colors to the right of the panels.

    Args:
        figure: the page.
        sheet: its panels.
        mesh: what matplotlib colored.
        scale: the label of the colors.
    """
    room = sheet.right - 0.24
    width, height = figure.get_size_inches()
    boxes = [ax.get_position() for _, _, ax in sheet.panels()]
    top, bottom = max(b.y1 for b in boxes), min(b.y0 for b in boxes)
    tall = min((top - bottom) * height, 2.6)
    ax = figure.add_axes(
        ((width - room) / width, top - tall / height, 0.14 / width, tall / height), label="color bar"
    )
    bar = figure.colorbar(mesh, cax=ax)
    bar.outline.set_visible(False)  # type: ignore[operator]
    if ax.get_yscale() == "log":
        plain_log(ax.yaxis, *ax.get_ylim())
    ax.tick_params(labelsize=7.5)
    ax.grid(False)
    if tall > 1.2:
        bar.set_label("\n".join(balanced(scale.label.split(" (")[0], tall, 8.0)), fontsize=8)
    else:
        ax.set_title(scale.short, fontsize=7)
