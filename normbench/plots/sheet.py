"""The layout of a page: title, caption, legend, panels, foot. Texts are measured, so none overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from normbench.plots.fonts import note
from normbench.plots.labels import balanced, parts, turned, unbroken, width, wrap
from normbench.plots.style import GREY, INK, clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from normbench.plots.chart import Grid

Handles = Sequence[tuple[Any, str]]
LEGEND = 8.5  # size of its letters
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
    ) -> None:
        """Make the axes of the panels.

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
        """
        from matplotlib.figure import Figure

        rows, cols = grid.rows, grid.cols
        self.rows, self.cols, self.left, self.hgap = rows, cols, left, hgap
        self.width = panel or min(widest, max(narrowest if cols <= 8 else 0.75 * narrowest, 10.4 / cols))
        self.least = 0.75 * narrowest  # of a panel, for which its labels still fit
        self.page, self.scale = page, scale
        self.height = height or max(1.15, min(3.1, 0.72 * self.width))
        self.small = cols > 3
        self.font = 8.0 if self.small else 9.0
        self.figure: Figure = Figure(figsize=(8, 6))
        self.heads, self.strips, self.starts, self.gaps = grid.heads, grid.strips, grid.starts, grid.gaps
        self.right, self.beside = right + beside, beside
        self.bottom = 0.62
        self.turned = 0.0
        self.axes: list[list[Axes | None]] = [[None] * cols for _ in range(rows)]
        for place in sorted(grid.places, key=lambda place: (place.row, place.col)):
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
        if widest + 0.1 > self.width / len(labels):
            self.turned = 30.0
            self.bottom = max(self.bottom, 0.42 + 0.55 * widest)
            self.left = max(self.left, min(widest * 0.85, 1.6) if widest > self.width / len(labels) else 0)

    def leave_room(self, labels: Sequence[str]) -> None:
        """Leave room for the horizontal axis's labels if they are turned by 90 degrees (see `plots.axes`)."""
        if turned(labels, self.width, self.font):
            longest = max(width(clean(text), self.font) for text in labels)
            self.bottom = max(self.bottom, 0.46 + longest)

    def panels(self) -> list[tuple[int, int, Axes]]:
        """Return the panels that are drawn, with their row and column."""
        return [(r, c, ax) for r, row in enumerate(self.axes) for c, ax in enumerate(row) if ax is not None]

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
        legend_height, placed = self._legends(total, legends)
        under = wrap(x_label, self._room(total), 9.5)
        self.bottom += 0.165 * (len(under) - 1)
        foot = wrap(footer, self._room(total), 7.0) if footer else []
        below = 0.06 + len(foot) * 7.0 * 1.25 / 72 if foot else 0.0
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
                labelsize=self.font - 0.5, labelbottom=self.is_bottom(r, c), labelleft=self.is_left(r, c)
            )
            if self.turned and self.is_bottom(r, c):
                for tick in ax.get_xticklabels():
                    tick.set(rotation=self.turned, ha="right", rotation_mode="anchor")
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
            (left + panel_width / 2) / total,
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
            fontsize=7,
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
        return 0.16 + self.gaps.get(r, 0.0) + (max(0.16, self.bottom - 0.46) if ticks else 0.0)

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
        for size, inches in ((s, w) for s in (self.font, 7.0, 6.0) for w in (1.2, 1.6, 2.0, 2.6, 3.2)):
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
            size = next((s for s in (9.5, 9.0, 8.5) if width(text, s) <= room), 9.0)
            names[start] = ("\n".join(balanced(text, room, size)), size)
        return names

    def _header(self, total: float, title: str, caption: str, warnings: str) -> float:
        """Break the texts above the legends into lines; the caption gets a size at which it is one line."""
        room = self._room(total)
        small = next((s for s in (8.5, 8.0, 7.5) if width(clean(caption), s) <= room), 7.0)
        self._texts = []
        tall = 0.14 + 0.05
        for text, size, color, weight in (
            (title, 12.0, INK, "bold"),
            (caption, small, GREY, "normal"),
            (warnings, 8.5, GREY, "normal"),
        ):
            if text:
                wrapped = wrap(text, room, size, weight)
                self._texts.append(("\n".join(wrapped), size, color, weight, len(wrapped)))
                tall += len(wrapped) * size * 1.25 / 72 + 0.05
        return tall

    def _legends(
        self, total: float, legends: Sequence[tuple[str, Handles]]
    ) -> tuple[float, list[tuple[Any, float]]]:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        dots = self.scale * self.figure.dpi
        self.figure.set_size_inches(self.scale * total, 6)
        canvas = FigureCanvasAgg(self.figure)
        placed: list[tuple[Any, float]] = []
        for name, entries in legends:
            if not entries:
                continue
            handles = [h for h, _ in entries]
            room = total - 0.9  # beside the handle
            labels = ["\n".join(wrap(text, room, LEGEND)) for _, text in entries]
            labels = [text if not text.startswith("_") else " " + text for text in labels]
            for columns in range(min(len(labels), 12), 0, -1):
                order = _by_rows(len(labels), columns)
                legend = self.figure.legend(
                    [handles[i] for i in order],
                    [labels[i] for i in order],
                    ncols=columns,
                    title="\n".join(wrap(name, total - 0.3, LEGEND)) or None,
                    loc="upper left",
                    alignment="left",
                    fontsize=self.scale * LEGEND,
                    title_fontsize=self.scale * LEGEND,
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
