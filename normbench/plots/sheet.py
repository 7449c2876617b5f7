"""The layout of a page: title, caption, legend, panels, foot. Texts are measured, so none overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from normbench.plots.fonts import note
from normbench.plots.labels import LINE, balanced, parts, turned, unbroken, width, wrap
from normbench.plots.legends import Handles, place_legends
from normbench.plots.style import GREY, INK, clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from normbench.plots.chart import Grid

LEGEND = 8.5  # size of a legend's letters
STEEP = 0.2  # inches between two names; with less, they are turned by 90 degrees
EM = 0.58  # mean width of a character of DejaVu Sans, in font sizes


class Sheet:
    """The panels of a page. Draw into `axes[row][column]`, then call `finish`. Sizes are inches."""

    def __init__(
        self,
        grid: Grid,
        *,
        height: float | None = None,
        left: float = 0.72,
        right: float = 0.2,
        hgap: float = 0.26,
        widest: float = 6.4,
        narrowest: float = 1.72,
        beside: float = 0.0,
        panel: float | None = None,
        page: float | None = None,
        scale: float = 1.0,
        letters: float = 0.0,
    ) -> None:
        """Say how large the panels are; `add_axes` makes them.

        Args:
            grid: which panels there are, their names and blocks; a block shares its vertical axis.
            height: of a panel; None: it follows from the width.
            left: room for the labels of the vertical axes; more is taken where they are longer.
            right: room beside the panels.
            hgap: between two panels of a row.
            widest: of a panel.
            narrowest: of a panel.
            beside: what is drawn at the right of the last panel of a row.
            panel: its width; None: as many inches as the page has, between `narrowest` and `widest`.
            page: its width; None: as wide as the panels make it.
            scale: of the letters in legends; all sizes here are those at a scale of 1.
            letters: points of the smallest ones.
        """
        from matplotlib.figure import Figure

        rows, cols = grid.rows, grid.cols
        self.rows, self.cols, self.left, self.hgap = rows, cols, left, hgap
        self.width = panel or min(widest, max(narrowest if cols <= 8 else 0.75 * narrowest, 10.4 / cols))
        self.least = 0.75 * narrowest  # of a panel, for which its labels still fit
        self.page, self.scale, self.letters = page, scale, letters
        self.low = height or max(1.15, 0.72 * self.least)  # height of the lowest panel
        self.height = height or max(1.15, min(3.1, 0.72 * self.width))
        self.small = cols > 3
        self.font = self.points(8.0 if self.small else 9.0)
        self.figure: Figure = Figure(figsize=(8, 6))
        self.heads, self.strips, self.starts, self.gaps = grid.heads, grid.strips, grid.starts, grid.gaps
        self.right, self.beside = right + beside, beside
        self.bottom = 0.62
        self.turned = 0.0
        self.axes: list[list[Axes | None]] = [[None] * cols for _ in range(rows)]
        self.places = sorted(grid.places, key=lambda place: (place.row, place.col))
        self.x_axes = {(place.row, place.col): place.x for place in grid.places}
        self.named = len({axis.label for axis in self.x_axes.values()}) > 1  # each below its own panel
        self.longer: dict[int, float] = {}  # inches below a row beside the usual ones

    def points(self, size: float) -> float:
        """Return the size of letters that are usually of this size."""
        return max(size, self.letters)

    @property
    def bounds(self) -> tuple[float, float]:
        """Return width and height of the page, in inches, if the panels are as small as can be."""
        return self.at_least(self.least), self.rows * self.low + 0.16 * (self.rows - 1)

    def at_least(self, panel: float) -> float:
        """Return the inches that a page with panels of this width has at least, whatever its labels are."""
        return self.left + self.cols * panel + (self.cols - 1) * self.hgap + self.right

    def add_axes(self) -> None:
        """Make the axes of the panels."""
        for place in self.places:
            self.axes[place.row][place.col] = self.figure.add_axes(
                (0, 0, 1, 1), label=f"panel {place.row} {place.col}"
            )

    def at(self, r: int, c: int) -> Axes:
        """Return the panel in a row and column."""
        ax = self.axes[r][c]
        if ax is None:
            raise KeyError(f"no panel in row {r}, column {c}")
        return ax

    def turn_long_labels(self, labels: Sequence[str]) -> None:
        """Turn the horizontal axis's labels if they would run into each other."""
        widest = max(len(text) for text in labels) * self.font * EM / 72
        room = self.width / len(labels)
        if room < STEEP < widest + 0.1:
            self.turned = 90.0
            self.bottom = max(self.bottom, 0.46 + widest)
            self.least = max(self.least, LINE * len(labels))
        elif widest + 0.1 > room:
            self.turned = 30.0
            self.bottom = max(self.bottom, 0.42 + 0.55 * widest)
            self.left = max(self.left, min(widest * 0.85, 1.6) if widest > self.width / len(labels) else 0)

    def name_axes(self) -> None:
        """Name each horizontal axis below its own panel; one without a name has no ticks."""
        size = self.points(self.font - 0.5)
        for (r, c), axis in self.x_axes.items():
            lines = wrap(axis.label, self.width + 2 * min(self.left, self.right), size)
            self.at(r, c).set_xlabel("\n".join(lines), fontsize=size, labelpad=2)
            self.at(r, c).tick_params(bottom=bool(axis.label))
            self.longer[r] = max(self.longer.get(r, 0.0), (len(lines) - 1) * size * 1.25 / 72)
        self.bottom += self.longer[self.rows - 1]

    def leave_room(self, labels: Sequence[str]) -> None:
        """Leave room for the horizontal axis's labels if they are turned by 90 degrees (see `plots.axes`)."""
        if turned(labels, self.width, self.font):
            longest = max(width(clean(text), self.font) for text in labels)
            self.bottom = max(self.bottom, 0.46 + longest)

    def panels(self) -> list[tuple[int, int, Axes]]:
        """Return the panels that are drawn, with their row and column."""
        return [(r, c, ax) for r, row in enumerate(self.axes) for c, ax in enumerate(row) if ax is not None]

    def has_ticks(self, r: int, c: int) -> bool:
        """Return whether the values of a panel's horizontal axis are named: no such axis is below."""
        axis = self.x_axes[r, c]
        below = next(
            (self.x_axes[row, c] for row in range(r + 1, self.rows) if (row, c) in self.x_axes), None
        )
        return bool(axis.label) if self.named else below is None or not axis.like(below)

    def is_bottom(self, r: int, c: int) -> bool:
        """Return whether no panel lies right below."""
        return all(self.axes[below][c] is None for below in range(r + 1, self.rows))

    def is_left(self, r: int, c: int) -> bool:
        """Return whether no panel lies to the left."""
        return all(self.axes[r][before] is None for before in range(c))

    def finish(
        self,
        title: str,
        caption: str,
        warnings: str,
        legends: Sequence[tuple[str, Handles]],
        x_label: str,
        y_labels: Sequence[str],
        footer: str = "",
    ) -> Figure:
        """Place everything and label the outer axes.

        Args:
            title: in bold.
            caption: one line under the title.
            warnings: below it.
            legends: the name of each legend and its entries.
            x_label: below the panels.
            y_labels: beside the panels, one for each block.
            footer: small, below everything.

        Returns:
            The figure, complete.
        """
        figure = self.figure
        labels = [text for _, entries in legends for _, text in entries]
        names_of_panels = [*self.heads.values(), *self.strips.values()]
        lacking = note([title, caption, warnings, x_label, *y_labels, *labels, *names_of_panels])
        warnings = "; ".join(filter(None, (warnings, lacking)))
        blocks = dict(zip(self.starts, y_labels, strict=True))
        line = self.font * 1.22 / 72
        heads = self._heads()
        deep = [
            max((t.count("\n") + 1 for (h, _), t in heads.items() if h == r), default=0)
            for r in range(self.rows)
        ]
        head = 0.1 + line * deep[0]
        gaps = [0.0, *(self._gap(r) + line * deep[r] for r in range(1, self.rows))]
        downs = [sum(gaps[: r + 1]) + r * self.height for r in range(self.rows)]  # from the grid's top
        names = self._y_names(blocks, downs, min(head, self.bottom))
        more = 0.165 * (max((t.count("\n") for t, _ in names.values()), default=0))
        self.left = max(self.left, 0.42 + self._tick_width()) + more
        panel_width = self.cols * self.width + (self.cols - 1) * self.hgap
        strips, strip = self._strips()
        self.needed = self.left + panel_width + strip + self.right
        total = max(self.page or 7.2, self.needed)
        if self.page and self.needed - self.page < 0.02:
            total = self.page
        left = self.left + max(0.0, (total - self.left - strip - self.right - panel_width) / 2)
        header = self._header(total, title, caption, warnings)
        size = self.points(LEGEND)
        legend_height, placed = place_legends(figure, legends, total, size, self.scale)
        under = wrap(x_label, self._room(total), 9.5)
        half = max((0.53 * width(line, 9.5) for line in under), default=0.0)
        middle = min(max(left + panel_width / 2, 0.1 + half), total - 0.1 - half)
        self.bottom += 0.165 * (len(under) - 1)
        fine = self.points(7.0)
        foot = wrap(footer, self._room(total), fine) if footer else []
        below = 0.06 + len(foot) * fine * 1.25 / 72 if foot else 0.0
        bottom = self.bottom + below
        height = header + legend_height + head + downs[-1] + self.height + bottom
        figure.set_size_inches(total, height)
        y = height - 0.14
        for text, size, color, weight, lines in self._texts:
            figure.text(
                0.16 / total,
                y / height,
                text,
                fontsize=size,
                color=color,
                weight=weight,
                va="top",
                linespacing=1.25,
            )
            y -= lines * size * 1.25 / 72 + 0.05
        y -= 0.05
        for legend, tall in placed:
            legend.set_bbox_to_anchor((0.12 / total, y / height), transform=figure.transFigure)
            y -= tall
        top = height - header - legend_height - head
        bottoms = [top - down - self.height for down in downs]
        for r, c, ax in self.panels():
            x0 = left + c * (self.width + self.hgap)
            ax.set_position((x0 / total, bottoms[r] / height, self.width / total, self.height / height))
            ax.tick_params(
                labelsize=self.points(self.font - 0.5),
                labelbottom=self.has_ticks(r, c),
                labelleft=self.is_left(r, c),
            )
            if self.turned and self.has_ticks(r, c):
                for tick in ax.get_xticklabels():
                    tick.set(rotation=self.turned, ha="right", rotation_mode="anchor")
                    tick.set_verticalalignment("center" if self.turned == 90.0 else "top")
            if (r, c) in heads:
                ax.set_title(heads[r, c], fontsize=self.font, pad=4, color=INK)
        for r, (text, size, aside) in strips.items():
            figure.text(
                (left + panel_width + self.beside + (0.24 if aside else 0.12)) / total,
                (bottoms[r] + self.height / 2) / height,
                text,
                rotation=270 if aside else 0,
                fontsize=size,
                va="center",
                ha="center" if aside else "left",
            )
        figure.text(
            middle / total,
            (0.13 + below) / height,
            "\n".join(under),
            ha="center",
            va="bottom",
            fontsize=9.5,
        )
        figure.text(
            0.16 / total,
            0.07 / height,
            "\n".join(foot),
            fontsize=fine,
            color=GREY,
            va="bottom",
            linespacing=1.25,
        )
        for start, (text, size) in names.items():
            stop = min((b for b in blocks if b > start), default=self.rows)
            figure.text(
                (left - self.left + 0.19 + more / 2) / total,
                (bottoms[start] + self.height + bottoms[stop - 1]) / 2 / height,
                text,
                rotation=90,
                va="center",
                ha="center",
                fontsize=size,
            )
        return figure

    def _room(self, total: float) -> float:
        """Return the width of a line of the page; letters of another size are not exactly in proportion."""
        return (total - 0.3) * (1.0 if self.scale == 1.0 else 0.95 if self.scale > 1.0 else 0.88)

    def _tick_width(self) -> float:
        """Return the width of the longest label of a vertical axis."""
        longest = 0
        for r, c, ax in self.panels():
            if self.is_left(r, c):
                low, high = sorted(ax.get_ylim())
                ticks = [t for t in ax.get_yticks() if low <= t <= high]
                labels = ax.yaxis.get_major_formatter().format_ticks(ticks)
                longest = max([longest, *(len(line) for label in labels for line in label.split("\n"))])
        return longest * self.font * 0.6 / 72

    def _heads(self) -> dict[tuple[int, int], str]:
        """Return the heads in lines, each over the topmost panel at or below its place."""
        heads = {}
        for (r, c), text in self.heads.items():
            row = next((below for below in range(r, self.rows) if self.axes[below][c] is not None), None)
            if row is not None:
                heads[row, c] = "\n".join(parts(text, self.width + 0.5 * self.hgap, self.font))
        return heads

    def _gap(self, r: int) -> float:
        """Return the space above a row without its heads: more if the labels of an axis are in it."""
        ticks = any(ax is not None and self.is_bottom(r - 1, c) for c, ax in enumerate(self.axes[r - 1]))
        room = max(0.16, self.bottom - 0.46) if ticks else 0.0
        return 0.16 + self.gaps.get(r, 0.0) + room + self.longer.get(r - 1, 0.0)

    def _strips(self) -> tuple[dict[int, tuple[str, float, bool]], float]:
        """Return each row's name in lines, its size and whether it is turned, and the width of all of them.

        They are turned if all fit whole into two lines, else upright in a wider margin.
        """
        if not self.strips:
            return {}, 0.0
        texts, size, tall = self.strips, self.font, self.height
        turned = {r: parts(text, tall, size) for r, text in texts.items()}
        if all(len(t) <= 2 and unbroken(texts[r], tall, size) for r, t in turned.items()):
            return {r: ("\n".join(t), size, True) for r, t in turned.items()}, 0.4
        sizes = (self.font, self.points(7.0), self.points(6.0))
        widths = (*((0.8, 1.0) if self.scale < 1.0 else ()), 1.2, 1.6, 2.0, 2.6, 3.2)
        for size, inches in ((s, w) for s in sizes for w in widths):
            upright = {r: parts(text, inches, size) for r, text in texts.items()}
            most = max(map(len, upright.values()))
            if most * size * 1.22 / 72 <= tall + 0.1 and all(
                unbroken(t, inches, size) for t in texts.values()
            ):
                break
        widest = max(width(text, size) for lines in upright.values() for text in lines)
        return {r: ("\n".join(t), size, False) for r, t in upright.items()}, widest + 0.2

    def _y_names(
        self, blocks: dict[int, str], downs: Sequence[float], beyond: float
    ) -> dict[int, tuple[str, float]]:
        """Return the names of the vertical axes and their sizes; one name may be longer than its panels."""
        starts = sorted(blocks)
        names = {}
        for start, stop in zip(starts, [*starts[1:], self.rows], strict=True):
            room = downs[stop - 1] - downs[start] + self.height
            room += 2 * beyond - 0.1 if len(starts) == 1 else -0.05
            text = clean(blocks[start])
            size = next((s for s in (9.5, 9.0, self.points(8.5)) if width(text, s) <= room), 9.0)
            names[start] = ("\n".join(balanced(text, room, size)), size)
        return names

    def _header(self, total: float, title: str, caption: str, warnings: str) -> float:
        """Break the texts above the legends into lines; the caption gets a size at which it is one line."""
        room = self._room(total)
        sizes = [self.points(size) for size in (8.5, 8.0, 7.5, 7.0)]
        small = next((s for s in sizes if width(clean(caption), s) <= room), sizes[-1])
        self._texts = []
        tall = 0.14 + 0.05
        for text, size, color, weight in (
            (title, 12.0, INK, "bold"),
            (caption, small, GREY, "normal"),
            (warnings, self.points(8.5), GREY, "normal"),
        ):
            if text:
                wrapped = wrap(text, room, size, weight)
                self._texts.append(("\n".join(wrapped), size, color, weight, len(wrapped)))
                tall += len(wrapped) * size * 1.25 / 72 + 0.05
        return tall
