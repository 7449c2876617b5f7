"""Pages of another width, with other letters, titles and words: nothing is cut off, the values stay."""

import matplotlib
import numpy as np
import pytest
from helpers.cli import call, good
from helpers.figures import assert_printable, assert_readable, boxes, lines, pages, panels, texts
from helpers.synthetic import NORMS, write_layers, write_results
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

from normbench.analysis.tables import load_tables
from normbench.errors import NormbenchError
from normbench.plots import draw, fonts
from normbench.plots.figures import FIGURES
from normbench.plots.paper import Paper

SIMILAR = (
    "convergence_accuracy",
    "montage",
    "gap",
    "sharpness",
    "v_norm",
    "percentiles",
    "against",
)  # of bases
NARROW = ("summary", "convergence", "rate", "heatmap", "claims")  # the other figures: `make thorough`
CLAIM = {
    **{"id": "C", "statement": "It is.", "measure": "max_stable_lr", "expect": {"ratio_at_least": 1}},
    **{"of": {"model.norm": "batchnorm"}, "against": {"model.norm": "none"}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    axes = {"model.norm": ["none", "batchnorm"], "optimizer.lr": [0.1, 1.0, 10.0]}
    where = write_results(tmp_path_factory.mktemp("paper") / "r", axes=axes, seeds=2, claims=[CLAIM])
    return write_layers(where, steps=3, depth=2)


@pytest.fixture(scope="module")
def folder_with_all(tmp_path_factory):
    """Return results with many variants and two further keys."""
    axes = {
        **{"model.norm": list(NORMS), "model.depth": [3, 10], "model.activation": ["sigmoid", "relu"]},
        "optimizer.lr": [0.1, 1.0, 10.0],
    }
    claim = {**CLAIM, "for_each": ["model.depth", "model.activation"]}
    return write_results(tmp_path_factory.mktemp("all") / "r", axes=axes, seeds=3, claims=[claim])


@pytest.fixture(scope="module")
def tables(folder):
    return load_tables(folder)


def inside(figure):
    """Nothing that has letters leaves the page, marks of the panels included."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    labels = [text for ax in figure.axes for text in (ax.title, ax.xaxis.label, ax.yaxis.label)]
    for box in boxes([*labels, *figure.texts], renderer):
        assert box.x0 >= -1
        assert box.x1 <= figure.bbox.x1 + 1


@pytest.mark.parametrize("name", ["summary", "convergence", "rate", "heatmap", "best_vs_equal", "claims"])
def test_a_figure_fits_on_the_paper(tables, name):
    _, figure = next(draw(tables, [name], Paper(width=11.5, font_size=14.0)))
    assert figure.get_figwidth() == pytest.approx(11.5, abs=0.03)
    assert_readable(figure)
    inside(figure)
    ax = next(iter(panels(figure).values()))
    assert ax.xaxis.get_major_ticks()[0].label1.get_fontsize() > 11.5


@pytest.mark.parametrize(
    "name",
    [
        one if one in NARROW else pytest.param(one, marks=pytest.mark.thorough)
        for one in FIGURES
        if one not in SIMILAR
    ],
)
def test_all_that_is_on_a_page_grows(tables, name):
    """Twice the letters on twice the inches: every letter, line and mark is twice as large."""
    _, plain = next(draw(tables, [name]))
    wide = 2 * plain.get_figwidth()
    _, grown = next(draw(tables, [name], Paper(width=wide, font_size=18.0)))
    plain.draw(FigureCanvasAgg(plain).get_renderer())
    assert_readable(grown)
    inside(grown)
    pairs = list(zip(plain.axes, grown.axes, strict=True))
    assert all(one.get_label() == other.get_label() for one, other in pairs)
    for one, other in pairs:
        assert np.allclose(one.get_position().bounds, other.get_position().bounds, atol=0.02)
    for one, other in [pairs[0], pairs[-1], *zip(plain.legends, grown.legends, strict=True)]:
        assert sizes(other) == pytest.approx([2 * size for size in sizes(one)])


def sizes(parent):
    """Return the sizes in points of the letters, lines and marks, one after the other."""
    found, within = [], set()
    for axis in parent.findobj(Axis):
        within |= {id(artist) for artist in axis.findobj()}
        for tick in axis.get_major_ticks():
            line, text = tick.tick1line, tick.label1
            found += [line.get_markersize(), line.get_markeredgewidth(), tick.gridline.get_linewidth()]
            found += [text.get_fontsize(), tick.get_pad()]
        found += [axis.label.get_fontsize(), axis.labelpad]
    for artist in parent.findobj():
        if id(artist) in within:
            continue
        if isinstance(artist, Text) and artist.get_text():
            found.append(artist.get_fontsize())
        elif isinstance(artist, Line2D):
            found += [artist.get_linewidth(), artist.get_markersize(), artist.get_markeredgewidth()]
        elif isinstance(artist, (Collection, Patch)) and artist is not getattr(parent, "patch", None):
            found += np.atleast_1d(artist.get_linewidth()).tolist()
    return found


def test_the_values_stay(tables):
    plain, narrow = (
        pages(tables, "rate", paper=paper)["rate"] for paper in (None, Paper(width=5.0, font_size=12.0))
    )
    for place, ax in panels(plain).items():
        for one, other in zip(lines(ax), lines(panels(narrow)[place]), strict=True):
            assert np.allclose(one, other, equal_nan=True)


def test_title_and_words(tables):
    (figure,) = pages(tables, "rate", paper=Paper("My own & $title$", caption=False)).values()
    said = texts(figure)
    assert "My own & $title$" in said
    assert "Synthetic" not in said
    assert "n = 2 seeds" not in said
    assert "label entropy" not in said
    assert "final test accuracy" in said  # the name of an axis
    (empty,) = pages(tables, "rate", paper=Paper("", caption=False)).values()
    assert empty.get_figheight() < figure.get_figheight()


def test_a_title_in_chinese_is_drawn_or_refused(tables, monkeypatch):
    latin = (fonts.FAMILY, frozenset(range(32, 256)))
    han = ("Han", frozenset(map(ord, "批归一化")))
    for found, there in (([latin, han], True), ([latin], False)):
        monkeypatch.setattr(fonts, "_installed", lambda found=found: found)
        fonts._family_of.cache_clear()
        if there:
            assert Paper("批归一化").title == "批归一化"
            assert fonts.families("批归一化") == [fonts.FAMILY, "Han"]
        else:
            with pytest.raises(NormbenchError, match="title: no installed font has 批归一化; install a font"):
                Paper("批归一化")
    fonts._family_of.cache_clear()


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"width": 0.0}, "width: 0 is too small"),
        ({"width": float("nan")}, "width: nan is"),
        ({"width": float("inf")}, "width: inf is"),
        ({"font_size": -3.0}, "font-size: -3 is too small.* from 4 to 60 points"),
        ({"font_size": 1000.0}, "font-size: 1000 is"),
    ],
)
def test_what_is_no_size_is_refused(wish, said):
    with pytest.raises(NormbenchError, match=said):
        Paper(**wish)


def test_a_page_that_is_too_narrow_says_how_wide_it_must_be(tables):
    for size in (None, 9.0):
        needed = r"width: 'convergence' needs .* for a panel with letters of [69] points"
        with pytest.raises(NormbenchError, match=needed) as caught:
            pages(tables, "convergence", paper=Paper(width=1.1, font_size=size))
        least = float(str(caught.value).split()[3])
        (figure,) = pages(tables, "convergence", paper=Paper(width=least, font_size=size)).values()
        assert_readable(figure)


@pytest.mark.parametrize(
    "name", [one if one in NARROW else pytest.param(one, marks=pytest.mark.thorough) for one in FIGURES]
)
def test_a_figure_fits_into_one_column_of_a_paper(tables, name):
    for _, figure in draw(tables, [name], Paper(width=3.3)):
        assert figure.get_figwidth() == pytest.approx(3.3, abs=0.03)
        assert_readable(figure)
        assert_printable(figure)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["summary", "best_vs_equal", "convergence", "montage", "claims"])
@pytest.mark.parametrize("color", [None, "model.norm,model.activation,model.depth"])
def test_many_variants_depths_and_long_names_fit_into_one_column(folder_with_all, name, color):
    for _, figure in draw(load_tables(folder_with_all), [name], Paper(width=3.3), color=color):
        assert figure.get_figwidth() == pytest.approx(3.3, abs=0.03)
        assert_printable(figure)


def test_an_unreadable_page_is_found():
    """The measure that the tests above trust: small letters, letters beyond the page, letters on others."""
    for words, size, x in (("small", 5.0, 0.5), ("beyond", 9.0, 0.95), ("on", 9.0, 0.31)):
        figure = Figure(figsize=(3.3, 2.0))
        figure.text(0.3, 0.5, "other", fontsize=9.0)
        figure.text(x, 0.5, words, fontsize=size)
        with pytest.raises(AssertionError, match=words):
            assert_printable(figure)


def test_columns_of_a_page_go_below_each_other_with_the_same_values(tables):
    """Where rows and columns have names, each column keeps its name and each row, too."""
    plain, narrow = (
        pages(tables, "montage", x="optimizer.lr", panel="model.norm", paper=paper)["montage"]
        for paper in (None, Paper(width=3.3, font_size=9.0))
    )
    before, after = panels(plain), panels(narrow)
    assert sorted(before) == [(r, c) for r in range(2) for c in range(3)]
    assert sorted(after) == [(r, 0) for r in range(6)]
    for (r, c), ax in before.items():
        moved = after[2 * c + r, 0]
        assert moved.get_title() == ax.get_title()
        for one, other in zip(lines(ax), lines(moved), strict=True):
            assert np.allclose(one, other, equal_nan=True)
    rows = [text.get_text() for text in narrow.texts if text.get_text() in ("norm none", "batchnorm")]
    assert rows == ["norm none", "batchnorm"] * 3


def test_a_page_is_no_taller_than_a_sheet_of_paper_where_low_panels_and_small_letters_help(tables):
    asked = {"x": "optimizer.lr", "panel": "model.norm"}
    tall, low = (
        pages(tables, "montage", paper=Paper(width=3.3, font_size=size), **asked)["montage"]
        for size in (9.0, None)
    )
    assert len(panels(tall)) == len(panels(low)) == 6
    assert tall.get_figheight() > 9.0 > low.get_figheight()
    assert low.axes[0].title.get_fontsize() == 7.0
    (flat,) = pages(tables, "rate", panel="model.norm", paper=Paper(width=3.3)).values()
    assert flat.get_figheight() == pytest.approx(9.0)
    box = flat.axes[0].get_position()
    assert box.height * 9.0 < 0.6 * box.width * 3.3


def test_an_axis_that_is_not_the_one_below_names_its_values(tables):
    (figure,) = pages(tables, "summary", paper=Paper(width=3.3)).values()
    found = panels(figure)
    assert len(found) == 3
    labels = [ax.xaxis.label.get_text() for _, ax in sorted(found.items())]
    assert labels[:2] == ["learning rate", "final test accuracy (%)"]
    assert labels[2].startswith("steps to ")
    assert all(ax.xaxis.get_tick_params()["labelbottom"] for ax in found.values())


def test_a_narrow_page_has_fewer_panels_in_a_row_with_the_same_values(tables):
    plain, narrow = (
        pages(tables, "rate", panel="model.norm", paper=paper)["rate"]
        for paper in (None, Paper(width=3.3, font_size=9.0))
    )
    before, after = panels(plain), panels(narrow)
    assert sorted(before) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert sorted(after) == [(0, 0), (1, 0), (2, 0), (3, 0)]
    for place, moved in (((0, 0), (0, 0)), ((0, 1), (1, 0)), ((1, 0), (2, 0)), ((1, 1), (3, 0))):
        assert before[place].get_title() == after[moved].get_title()
        for one, other in zip(lines(before[place]), lines(after[moved]), strict=True):
            assert np.allclose(one, other, equal_nan=True)


def test_a_page_that_is_refused_does_not_stop_the_others(folder, tmp_path):
    figures = ["--figure", "summary", "--figure", "rate"]
    done = call("plot", folder, *figures, "--width", 1.6, "--format", "svg", "--out", tmp_path)
    assert done.exit_code == 2
    assert done.stdout.split() == [str(tmp_path / "rate.svg")]
    assert "width: 'summary' needs" in done.stderr


def test_the_command_line_has_all_wishes(folder, tmp_path):
    wishes = ["--title", "Mine", "--no-caption", "--width", 6, "--font-size", 11]
    good("plot", folder, "--figure", "rate", "--format", "svg", "--out", tmp_path, *wishes)
    head = (tmp_path / "rate.svg").read_text(encoding="utf-8")[:2000]
    assert 'width="432pt"' in head


def test_a_pdf_has_truetype_fonts(folder, tmp_path):
    good("plot", folder, "--figure", "rate", "--format", "pdf", "--out", tmp_path)
    data = (tmp_path / "rate.pdf").read_bytes()
    assert b"/FontFile2" in data
    assert b"/Type3" not in data


def test_a_matplotlibrc_is_respected_apart_from_what_the_layout_depends_on(tables, monkeypatch):
    for key, value in {"axes.linewidth": 3.0, "font.size": 30.0, "savefig.bbox": "tight"}.items():
        monkeypatch.setitem(matplotlib.rcParamsOrig, key, value)
    (figure,) = pages(tables, "rate").values()
    ax = next(iter(panels(figure).values()))
    assert ax.spines["left"].get_linewidth() == 3.0
    assert ax.xaxis.get_major_ticks()[0].label1.get_fontsize() < 10
    assert_readable(figure)
