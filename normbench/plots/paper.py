"""How a page is to look: its title, whether it explains itself, its width, the size of its letters."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from normbench.errors import NormbenchError
from normbench.plots.chart import Chart

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FONT = 9.0  # of the names in a panel, in points; the other letters of a page are in proportion
LEAST = 6.0  # points of the smallest letters; journals ask for no less
_WIDTHS = (1.0, 60.0)  # inches
_FONTS = (4.0, 60.0)  # points


@dataclass(frozen=True)
class Paper:
    """The wishes of the user for a page; None where the page decides.

    Attributes:
        title: in place of the experiment's title.
        caption: whether the line under the title, the warnings and the foot are drawn.
        width: of the page, in inches.
        font_size: of the names in a panel, in points. Lines and marks grow with it.
    """

    title: str | None = None
    caption: bool = True
    width: float | None = None
    font_size: float | None = None

    def __post_init__(self) -> None:
        for name, value, (low, high), unit in (
            ("width", self.width, _WIDTHS, "inches"),
            ("font-size", self.font_size, _FONTS, "points"),
        ):
            if value is not None and not (math.isfinite(value) and low <= value <= high):
                raise NormbenchError(
                    f"{name}: {value:g} is too small, too large or no number; from {low:g} to {high:g} {unit}"
                )
        if self.title is not None:
            self._refuse_missing(self.title)

    @staticmethod
    def _refuse_missing(title: str) -> None:
        """Raise NormbenchError if the title has characters that no installed font can draw."""
        from normbench.plots.fonts import missing

        if lacking := missing(title):
            raise NormbenchError(
                f"title: no installed font has {lacking}; install a font for this script, such as Noto Sans, "
                "or choose another title"
            )

    @property
    def scale(self) -> float:
        """Return how much larger than usual letters, lines and marks are."""
        return (self.font_size or FONT) / FONT

    @property
    def least(self) -> float:
        """Return the size of the smallest letters on the page before it is grown."""
        return min(LEAST / self.scale, FONT)

    def applied(self, chart: Chart) -> Chart:
        """Return the chart with the words that the page is to have."""
        title = chart.title if self.title is None else self.title
        if self.caption:
            return replace(chart, title=title)
        return replace(chart, title=title, caption="", warnings=(), footer="")


def grow(figure: Figure, scale: float) -> None:
    """Make a page larger with all that is on it: its letters, lines and marks.

    Legends are as large as they should be already; their marks are not.
    """
    import numpy as np
    from matplotlib import axis as axes
    from matplotlib.collections import Collection
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.text import Annotation, Text

    figure.set_size_inches(*(scale * figure.get_size_inches()))
    done = {id(artist) for legend in figure.legends for artist in legend.findobj(Text)}
    done.add(id(figure.patch))
    for axis in figure.findobj(axes.Axis):
        assert isinstance(axis, axes.Axis)
        _grow_axis(axis, scale)
        done |= {id(artist) for artist in axis.findobj()}
    for ax in figure.axes:
        title = ax.title
        size, color = scale * float(title.get_fontsize()), title.get_color()
        ax.set_title(title.get_text(), fontsize=size, color=color, pad=4 * scale)
        done.add(id(title))
    for artist in figure.findobj():
        if id(artist) in done:
            continue
        if isinstance(artist, Text):
            artist.set_fontsize(scale * float(artist.get_fontsize()))
            if isinstance(artist, Annotation) and artist.anncoords == "offset points":
                x, y = artist.xyann
                artist.xyann = (scale * x, scale * y)
        elif isinstance(artist, Line2D):
            artist.set(
                linewidth=scale * artist.get_linewidth(),
                markersize=scale * artist.get_markersize(),
                markeredgewidth=scale * artist.get_markeredgewidth(),
            )
        elif isinstance(artist, Patch):
            artist.set_linewidth(scale * artist.get_linewidth())
        elif isinstance(artist, Collection):
            artist.set_linewidth((scale * np.atleast_1d(artist.get_linewidth())).tolist())


def _grow_axis(axis: Any, scale: float) -> None:
    """Make ticks, their labels and the name of an axis larger."""
    for which, ticks in (("major", axis.get_major_ticks(1)), ("minor", axis.get_minor_ticks(1))):
        for tick in ticks[:1]:
            axis.set_tick_params(
                which=which,
                size=scale * tick.tick1line.get_markersize(),
                width=scale * tick.tick1line.get_markeredgewidth(),
                pad=scale * tick.get_pad(),
                labelsize=scale * tick.label1.get_fontsize(),
                grid_linewidth=scale * tick.gridline.get_linewidth(),
            )
    axis.labelpad *= scale
    axis.label.set_fontsize(scale * axis.label.get_fontsize())
