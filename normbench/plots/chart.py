"""A figure as data: a tidy frame, the axes of its panels and its words. Nothing here draws."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any, Literal

from normbench.analysis.variants import Levels

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from normbench.plots.view import Panels

FRAME: Sequence[str] = (
    "panel",
    "block",
    "color",
    "x",
    "mean",
    "low",
    "high",
    "mark",
)  # columns of all charts

_BLOCK_GAP = 0.12  # inches between two blocks, beside the usual gap
_AXIS_GAP = 0.42  # inches below a horizontal axis with its name that is not the one of the next row


@dataclass(frozen=True)
class Strip:
    """A gray part of a vertical axis for marks that have no value on it, such as diverged runs.

    `side` is where its text is written: at the left or right within the strip, as a tick, or nowhere.
    """

    low: float
    high: float
    text: str
    side: Literal["left", "right", "tick", ""] = ""


@dataclass(frozen=True)
class Axis:
    """One axis of a panel.

    `kind` chooses the ticks: `number` (1, 2, 5), `values` (the measured values themselves, as of a learning
    rate), `step`, `names` (one for each of 0, 1, 2, ...), `thinned` (as many names as have room), `rows`
    (names of rows) or `levels` (the same, with grid lines).
    """

    label: str = ""
    kind: Literal["number", "values", "step", "names", "thinned", "rows", "levels"] = "number"
    limits: tuple[float, float] | None = None  # None: as far as the data goes
    log: bool = False
    linear: float = 0.0  # a logarithmic axis is linear from 0 to here
    values: tuple[float, ...] = ()  # what was measured, for `values` and `step`
    names: tuple[str, ...] = ()
    inches: float = 0.0  # names that are longer than this are broken into lines; 0: none is
    separated: bool = False  # thin lines between the names
    whole: bool = False  # ticks at whole numbers alone
    level: float | None = None  # a dashed line across the panel
    strip: Strip | None = None

    @property
    def inner(self) -> tuple[float, float]:
        """Return the limits without the strip."""
        assert self.limits is not None
        low, high = self.limits
        if self.strip is None:
            return low, high
        return (self.strip.high, high) if self.strip.low <= low else (low, self.strip.low)

    def like(self, other: Axis) -> bool:
        """Return whether the other axis is the same, apart from its name."""
        return replace(self, label="") == replace(other, label="")


@dataclass(frozen=True)
class Place:
    """A panel's place on the page, which rows of the frame it shows, and its axes."""

    row: int
    col: int
    panel: int
    block: int
    x: Axis
    y: Axis


@dataclass(frozen=True)
class Grid:
    """The panels of a page. `heads`: names above panels; `strips`: names of rows, at their right."""

    places: tuple[Place, ...]
    heads: dict[tuple[int, int], str] = field(default_factory=dict)
    strips: dict[int, str] = field(default_factory=dict)
    starts: tuple[int, ...] = (0,)  # the first row of each block; a block shares its vertical axis
    gaps: dict[int, float] = field(default_factory=dict)  # inches above a row beside the usual ones
    free: bool = False  # each panel has a name of its own, so that a row may have fewer of them

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return max(place.row for place in self.places) + 1

    @property
    def cols(self) -> int:
        """Return the number of columns."""
        return max(place.col for place in self.places) + 1

    @classmethod
    def of_panels(cls, panels: Panels, x: Axis, *ys: Axis) -> Grid:
        """Return the panels of a view, repeated below each other in one block for each vertical axis."""
        n = panels.rows
        heads, strips = dict(panels.heads), {}
        if not panels.strips:  # each panel has its own name, in each block
            heads = {(b * n + r, c): text for b in range(len(ys)) for (r, c), text in heads.items()}
        strips = {b * n + r: text for b in range(len(ys)) for r, text in panels.strips.items()}
        places = tuple(
            Place(b * n + r, c, p, b, x, y) for b, y in enumerate(ys) for p, (r, c) in enumerate(panels.where)
        )
        starts = tuple(b * n for b in range(len(ys)))
        gaps = dict.fromkeys(starts[1:], _BLOCK_GAP)
        return cls(places, heads, strips, starts, gaps, bool(heads) and not strips)

    def of_columns(self, cols: int) -> Grid:
        """Return the same panels with this many in a row, on more rows.

        Panels that each have a name go on in reading order. Where columns have names, this many of them stay
        beside each other and the next ones follow below, each under its name; rows keep their names.
        """
        places: list[Place] = []
        heads: dict[tuple[int, int], str] = {}
        strips: dict[int, str] = {}
        starts: list[int] = []
        gaps: dict[int, float] = {}
        lowest: dict[int, Axis] = {}  # the horizontal axis of the lowest panel of each column
        row = 0
        for first, end in pairwise((*self.starts, self.rows)):
            starts.append(row)
            named = set()
            for line in self._lines(first, end, cols):
                source = line[0][1].row
                gaps[row] = self.gaps.get(first, 0.0) if row == starts[-1] else 0.0
                gaps[row] += _AXIS_GAP * any(c in lowest and not lowest[c].like(one.x) for c, one in line)
                if source in self.strips:
                    strips[row] = self.strips[source]
                for col, place in line:
                    head = (source if self.free else 0, place.col)
                    if head in self.heads and (self.free or place.col not in named):
                        heads[row, col] = self.heads[head]
                    named.add(place.col)
                    places.append(replace(place, row=row, col=col))
                    lowest[col] = place.x
                row += 1
        return replace(
            self, places=tuple(places), heads=heads, strips=strips, starts=tuple(starts), gaps=gaps
        )

    def _lines(self, first: int, end: int, cols: int) -> Iterator[list[tuple[int, Place]]]:
        """Yield the new rows of the block of these rows: the new column and the old place of each panel."""
        block = sorted(
            (place for place in self.places if first <= place.row < end),
            key=lambda place: (place.row, place.col),
        )
        if self.free:
            for start in range(0, len(block), cols):
                yield list(enumerate(block[start : start + cols]))
            return
        for start in range(0, self.cols, cols):
            group = [place for place in block if start <= place.col < start + cols]
            for _, line in groupby(group, key=lambda place: place.row):
                yield [(place.col - start, place) for place in line]


@dataclass(frozen=True)
class ColorScale:
    """What the colors of a map mean. `short`: its name where the bar is too low for the label."""

    low: float
    high: float
    log: bool
    label: str
    short: str


@dataclass(frozen=True)
class Chart:
    """One page of a figure, ready to draw.

    The frame has a row for each mark. Columns that all figures share: `panel` and `block` (which panel it
    belongs to, as in `Place`), `color` (position in `color.values`), `mean`, `low`, `high` (in the unit of
    the axis; NaN where there is none) and `mark` (what it is); where the mean is on the vertical axis, `x`,
    too. Further columns are described by the figure's `compute`.
    """

    stem: str  # of its files
    title: str
    frame: pd.DataFrame
    grid: Grid
    color: Levels
    caption: str
    warnings: tuple[str, ...] = ()
    footer: str = ""
    color_name: str = ""  # what the colors tell apart; empty: no legend of colors
    signs: frozenset[str] = frozenset()  # names of the marks that the legend explains
    scale: ColorScale | None = None
    letters: float = 0.0  # points of the smallest letters, before the page grows or shrinks

    def points(self, size: float) -> float:
        """Return the size of letters that are usually of this size."""
        return max(size, self.letters)

    def part(self, place: Place) -> pd.DataFrame:
        """Return the rows of one panel."""
        rows = self._rows.get((place.panel, place.block))
        return self.frame.take(rows) if rows is not None else self.frame.iloc[:0]

    @cached_property
    def _rows(self) -> dict[tuple[int, int], np.ndarray]:
        """Return the places of each panel's rows in the frame."""
        found: Any = self.frame.groupby(["panel", "block"]).indices
        return dict(found)


def marks_of(part: pd.DataFrame) -> Iterator[Any]:
    """Yield the rows as named tuples."""
    row = _row(tuple(part.columns))
    yield from map(row._make, zip(*(part[name].tolist() for name in part), strict=True))


@cache
def _row(columns: tuple[str, ...]) -> Any:
    """Return the class of a row; to make one takes longer than to fill it for the rows of a panel."""
    return namedtuple("Row", columns, rename=True)


def marked(parts: dict[str, pd.DataFrame], **columns: Any) -> pd.DataFrame:
    """Return the parts below each other, with their names in the column `mark`."""
    import pandas as pd

    tables = [part.assign(mark=name, **columns) for name, part in parts.items() if len(part)]
    if tables:
        return pd.concat(tables, ignore_index=True)
    return pd.DataFrame(columns=list(FRAME))
