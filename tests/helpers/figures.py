"""What a reader sees of a figure: its pages, its words, and whether they run into each other."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.path import Path
from matplotlib.transforms import Affine2D, BboxTransformTo

from normbench import plots


def pages(tables, *names, **wishes):
    return dict(plots.draw(tables, list(names) or None, **wishes))


def texts(figure):
    own = [t.get_text() for t in figure.texts]
    legends = [t.get_text() for legend in figure.legends for t in legend.get_texts()]
    return " ".join("\n".join([*own, *legends]).split())


def boxes(labels, renderer):
    found = [t.get_window_extent(renderer) for t in labels if t.get_visible() and t.get_text().strip()]
    return [b for b in found if b.width > 0]


def overlap(a, b):
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return width > 1 and height > 1


def assert_readable(figure):
    """No two texts outside the panels' data run into each other, and none leaves the page."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    outer = boxes(figure.texts, renderer)
    for ax in figure.axes:
        ticks = []
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks += [
                t.label1
                for t in axis.get_major_ticks()
                if low <= t.get_loc() <= high and t.label1.get_visible()
            ]
        outer += boxes([*ticks, ax.title], renderer)
    outer += [legend.get_window_extent(renderer) for legend in figure.legends]
    page = figure.bbox
    for i, a in enumerate(outer):
        assert a.x0 >= -1
        assert a.y0 >= -1
        assert a.x1 <= page.x1 + 1, "a text leaves the page"
        assert a.y1 <= page.y1 + 1, "a text leaves the page"
        for b in outer[i + 1 :]:
            assert not overlap(a, b), "texts overlap"


def panel(figure, row=0, col=0):
    return next(ax for ax in figure.axes if ax.get_label() == f"panel {row} {col}")


def panels(figure):
    """Return the panels by (row, column)."""
    labels = {ax.get_label(): ax for ax in figure.axes}
    return {tuple(map(int, k.split()[1:])): ax for k, ax in labels.items() if k.startswith("panel")}


def colors(figure):
    """Return the color of each entry of the legends and of the bar of levels, by its text."""
    bars = [ax for ax in figure.axes if ax.get_label() == "level bar"]
    levels = {
        tick.get_text(): to_hex(patch.get_facecolor())
        for ax in bars
        for tick, patch in zip(ax.get_yticklabels(), ax.patches, strict=True)
    }
    return levels | {
        text.get_text().strip(): to_hex(handle.get_color())
        for legend in figure.legends
        for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)
        if hasattr(handle, "get_color")
    }


def lines(ax, color=None, **properties):
    """Return (xs, ys) of the lines, of one color and with these properties (marker="x")."""
    return [
        (np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float))
        for line in ax.lines
        if color in (None, to_hex(line.get_color()))
        and all(_property(line, key) == value for key, value in properties.items())
    ]


def _property(line, key):
    value = getattr(line, f"get_{key}")()
    return to_hex(value) if key.endswith("color") and value != "white" else value


def dots(ax, color=None, **properties):
    """Return the (x, y) of all such lines, sorted: for signs without a line between them."""
    found = [(x, y) for xs, ys in lines(ax, color, **properties) for x, y in zip(xs, ys, strict=True)]
    return sorted(found)


def bands(ax, color=None):
    """Return {x: (low, high)} for each filled polygon."""
    found = []
    for collection in ax.collections:
        if not isinstance(collection, PolyCollection):
            continue
        fills = [to_hex(c) for c in collection.get_facecolor()]
        for i, path in enumerate(collection.get_paths()):
            if color not in (None, fills[i % len(fills)]):
                continue
            ends = {}
            for x, y in path.vertices:
                low, high = ends.get(float(x), (y, y))
                ends[float(x)] = min(low, y), max(high, y)
            found.append(ends)
    return found


def segments(ax, color=None, width=None):
    """Return the points of each line of the panel's collections of lines."""
    found = []
    for collection in ax.collections:
        if isinstance(collection, LineCollection):
            for i, points in enumerate(collection.get_segments()):
                own = collection.get_colors()[i % len(collection.get_colors())]
                if color in (None, to_hex(own)) and width in (None, collection.get_linewidths()[0]):
                    found.append(np.asarray(points, float))
    return found


def letters(figure):
    """Return every text that is drawn: of the page, the legends, the axes and within the panels."""
    found = list(figure.texts)
    for legend in figure.legends:
        found += [*legend.get_texts(), legend.get_title()]
    for ax in figure.axes:
        found += [ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts]
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            shown = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            found += [label for tick in shown for label in (tick.label1, tick.label2)]
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def assert_printable(figure, least=6.0):
    """All letters are on the page, as large as journals ask for, and no two texts run into each other."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    found = [(text.get_text(), text, outline(text, renderer)) for text in letters(figure)]
    page, dot = figure.bbox, figure.dpi / 72
    for i, (words, text, path) in enumerate(found):
        box = path.get_extents()
        assert text.get_fontsize() > least - 0.01, f"{words!r} has {text.get_fontsize():.2f} points"
        assert box.x0 >= -dot, f"{words!r} leaves the page at the left"
        assert box.x1 <= page.x1 + dot, f"{words!r} leaves the page at the right"
        assert box.y0 >= -dot, f"{words!r} leaves the page below"
        assert box.y1 <= page.y1 + dot, f"{words!r} leaves the page above"
        for others, _, other in found[i + 1 :]:
            if overlap(box, other.get_extents()):
                assert not path.intersects_path(other, filled=True), f"{words!r} runs into {others!r}"


def outline(text, renderer):
    """Return the rectangle of a text, a pixel smaller on each side, turned as the text is."""
    angle = text.get_rotation() if text.get_rotation_mode() == "anchor" else 0.0
    text.set_rotation(text.get_rotation() - angle)
    box = text.get_window_extent(renderer).padded(-1)
    text.set_rotation(text.get_rotation() + angle)
    anchor = text.get_transform().transform(text.get_position())
    turn = Affine2D().rotate_deg_around(*anchor, angle)
    return Path.unit_rectangle().transformed(BboxTransformTo(box) + turn)
