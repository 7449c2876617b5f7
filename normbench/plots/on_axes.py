"""Draws one panel of a figure on axes of the user, with its legend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from normbench.errors import NormbenchError
from normbench.plots import compute, import_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from normbench.analysis.tables import Tables
    from normbench.plots.chart import Chart, Place
    from normbench.plots.kind import FigureKind

_SHOWN = 12  # panels that a message lists


def draw_on_axes(
    name: str,
    tables: Tables,
    ax: Axes | None = None,
    *,
    place: int | None = None,
    legend: bool = True,
    **wishes: Any,
) -> Axes:
    """Draw one panel of a figure and return its axes.

    Args:
        name: of the figure, such as `rate`.
        tables: the experiment.
        ax: to draw on; by default the current axes of pyplot.
        place: which panel, from 0; needed if the figure has several.
        legend: whether to explain colors and marks in a legend.
        wishes: `x`, `color`, `panel`, `target`, `layer`, `quantities`, `steps`, `rate` and `where`, as
            `plots.compute` has them.

    Returns:
        The axes, whose labels and limits are set.

    Raises:
        NormbenchError: the figure makes no sense of this experiment, or it is not said which panel is meant.
    """
    panels = [
        (kind, chart, at) for kind, chart in compute(tables, [name], **wishes) for at in chart.grid.places
    ]
    if place is None and len(panels) > 1:
        raise NormbenchError(
            f"draw: '{name}' has {len(panels)} panels here; choose one with place=, or fewer with where= "
            f"({_listed(panels)})"
        )
    if place is not None and not 0 <= place < len(panels):
        raise NormbenchError(
            f"draw: place: found {place}; allowed: 0 to {len(panels) - 1} ({_listed(panels)})"
        )
    kind, chart, at = panels[place or 0]
    import_matplotlib()
    from normbench.plots.page import draw_panel

    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.gca()
    draw_panel(kind, chart, at, ax)
    if legend:
        _explain(kind, chart, ax)
    return ax


def _listed(panels: list[tuple[FigureKind, Chart, Place]]) -> str:
    texts = [f"{number}: {_panel_name(chart, at)}" for number, (_, chart, at) in enumerate(panels[:_SHOWN])]
    return "; ".join([*texts, *["..."] * (len(panels) > _SHOWN)])


def _panel_name(chart: Chart, at: Place) -> str:
    """Return what tells a panel from the others: its names on the page, and its vertical axis."""
    grid = chart.grid
    parts = (chart.stem, grid.heads.get((at.row, at.col)), grid.strips.get(at.row), at.y.label)
    return ", ".join(" ".join(part.split()) for part in parts if part)


def _explain(kind: FigureKind, chart: Chart, ax: Axes) -> None:
    """Add a legend of colors and marks, if there is something to explain."""
    from normbench.plots.marks import line_handles
    from normbench.plots.style import styles_of

    colors = line_handles(chart.color, styles_of(chart.color), kind.markers) if chart.color_name else []
    signs = kind.signs(chart)
    if not (colors or signs):
        return
    handles, texts = zip(*[*colors, *signs], strict=True)
    found = ax.legend(handles, texts, title=chart.color_name or None, framealpha=0.8, fontsize="small")
    for text in (*found.get_texts(), found.get_title()):
        text.set_parse_math(False)  # a name with two dollar signs is text
