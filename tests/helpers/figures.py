"""What a reader sees of a figure: its pages, its words, and whether they run into each other."""

from matplotlib.backends.backend_agg import FigureCanvasAgg

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
