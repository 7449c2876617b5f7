"""Figures as data: computed without matplotlib, drawn on any axes, registered, documented."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from helpers.figures import lines, pages, panel
from helpers.synthetic import write_layers, write_results
from matplotlib.figure import Figure

from normbench import plots
from normbench.analysis.tables import load_tables
from normbench.errors import NormbenchError
from normbench.plots.axes import set_axes
from normbench.plots.chart import FRAME, Axis
from normbench.plots.figures import FIGURES
from normbench.plots.figures.best_vs_equal import _axis
from normbench.plots.figures.rate import Rate
from normbench.plots.page import draw_panel
from normbench.plots.style import Look

DOCS = Path(__file__).parents[2] / "docs" / "figures.md"
WITHOUT = """
import sys
sys.modules["matplotlib"] = None  # an import of it fails
from normbench import plots
from normbench.analysis.tables import load_tables
from normbench.plots.figures import FIGURES
tables = load_tables(sys.argv[1])
stems = [chart.stem for _, chart in plots.compute(tables, list(FIGURES))]
print(len(stems))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A sweep for which every figure can be drawn."""
    claim = {"id": "C", "statement": "It is.", "measure": "max_stable_lr", "expect": {"ratio_at_least": 1}}
    claim.update(of={"model.norm": "batchnorm"}, against={"model.norm": "none"})
    axes = {"model.norm": ["none", "batchnorm"], "optimizer.lr": [0.1, 1.0, 10.0]}
    where = write_results(tmp_path_factory.mktemp("all") / "r", axes=axes, seeds=2, claims=[claim])
    return write_layers(where, steps=4, depth=2)


@pytest.fixture(scope="module")
def tables(folder):
    return load_tables(folder)


def python(code, *arguments):
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_charts_need_no_matplotlib(folder):
    assert int(python(WITHOUT, str(folder))) > len(FIGURES)


def test_the_registry_imports_neither_matplotlib_nor_pandas():
    code = "import sys; import normbench.plots.figures; print(*sys.modules)"
    loaded = set(python(code).split())
    assert "normbench.plots.figures.rate" in loaded
    assert not loaded & {"matplotlib", "pandas", "torch", "scipy"}


@pytest.mark.parametrize("name", list(FIGURES))
def test_a_chart_is_a_tidy_frame_with_its_axes(tables, name):
    for _, chart in plots.compute(tables, [name]):
        assert set(FRAME) - {"x"} <= set(chart.frame.columns)
        assert len(chart.frame)
        drawn = {(place.panel, place.block) for place in chart.grid.places}
        assert set(zip(chart.frame["panel"], chart.frame["block"], strict=True)) <= drawn
        assert sum(len(chart.part(place)) for place in chart.grid.places) == len(chart.frame)
        assert chart.frame["color"].between(0, len(chart.color) - 1).all()
        assert all(place.y.limits for place in chart.grid.places)


@pytest.mark.parametrize("name", list(FIGURES))
def test_the_caption_is_one_line(tables, name):
    for (_, chart), figure in zip(plots.compute(tables, [name]), pages(tables, name).values(), strict=True):
        (said,) = [text for text in figure.texts if text.get_text().startswith(chart.caption[:20])]
        assert said.get_text() == chart.caption
        assert "\n" not in said.get_text()
        assert chart.caption.endswith("; n = 2 seeds; 1,000 steps")


@pytest.mark.parametrize("name", list(FIGURES))
def test_a_panel_is_drawn_on_axes_of_the_user(tables, name):
    kind, chart = next(plots.compute(tables, [name]))
    place = chart.grid.places[0]
    ax = Figure(figsize=(5, 4)).add_subplot()
    draw_panel(kind, chart, place, ax)
    assert ax.get_xlabel() == place.x.label
    assert ax.get_ylabel() == place.y.label
    on_page = panel(pages(tables, name)[chart.stem], place.row, place.col)
    assert len(ax.collections) == len(on_page.collections)
    own, others = lines(ax), lines(on_page)
    assert len(own) == len(others)
    for (x, y), (other_x, other_y) in zip(own, others, strict=True):
        assert np.array_equal(x, other_x, equal_nan=True)
        assert np.allclose(y, other_y, equal_nan=True)


def test_every_figure_is_explained_in_the_docs():
    """One section for each figure, in the order of the registry, with its file's parts and options."""
    text = DOCS.read_text(encoding="utf-8")
    sections = re.findall(r"^## `(\w+)`$", text, flags=re.MULTILINE)
    assert sections == list(FIGURES), "docs/figures.md: a section for each figure, in the order of FIGURES"
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        kind = FIGURES[re.match(r"`(\w+)`", section)[1]]
        for word in ("**Shows.**", "**Marks.**", "**Left out.**", "**Options.**"):
            assert word in section, (kind.key(), word)
        options = section.split("**Options.**")[1]
        assert ("`--quantity " in options) == kind.any_quantity, kind.key()
        assert ("on demand" in section) == kind.on_demand, kind.key()
        if kind.probe:
            assert f"`{kind.probe.split(',')[0].split(' ')[0]}`" in section, kind.key()


def test_a_figure_of_ones_own_is_drawn(tables):
    class Mine(Rate):
        """My own figure."""

        name: Literal["mine"] = "mine"

        def compute(self, tables, request):
            (chart,) = super().compute(tables, request)
            return [type(chart)(**{**vars(chart), "stem": "mine", "caption": "My own"})]

    FIGURES.add(Mine)
    try:
        (figure,) = pages(tables, "mine").values()
        assert "My own" in [text.get_text() for text in figure.texts]
        with pytest.raises(NormbenchError, match="the figure 'mine' is there already"):
            FIGURES.add(Mine)
    finally:
        del FIGURES.entries["mine"]


@pytest.mark.parametrize(
    ("means", "limits", "ticks"),
    [
        ([1.9, 0.4, 90.0], (0.4 / 1.8, 100.0), ["1", "10", "100"]),
        ([2.0, 3.0], (1.9, 3.1), ["2.0", "2.5", "3.0"]),
        ([52.0, 95.0, 99.9], (49.6, 100.0), ["60", "80", "100"]),
        ([0.0, 0.5, 10.0], (0.0, 15.0), ["0", "0.5", "1", "2", "5", "10"]),
        ([0.0], (0.0, 0.1), ["0.00", "0.02", "0.04", "0.06", "0.08", "0.10"]),
    ],
)
def test_an_axis_of_errors_holds_zero_and_nothing_beyond_100(means, limits, ticks):
    nothing = np.full(len(means), np.nan)
    x = _axis("error", pd.DataFrame({"mean": means, "low": nothing, "high": nothing}))
    assert x.limits == pytest.approx(limits, rel=0.02)
    ax = Figure(figsize=(4, 2)).add_subplot()
    set_axes(ax, Look((), 3.0, 2.0, 9.0, x, Axis(limits=(0.0, 1.0))))
    low, high = ax.get_xlim()
    places = [tick for tick in ax.get_xticks() if low <= tick <= high]
    assert ax.xaxis.get_major_formatter().format_ticks(places) == ticks
    assert all(low <= mean <= high for mean in means)


def test_the_gap_takes_training_values_at_inference_where_they_were_measured(folder):
    tables = load_tables(folder)
    ((_, old),) = plots.compute(tables, ["gap"])
    assert any("means over the last batches" in warning for warning in old.warnings)
    runs = tables.runs
    tables.runs["inference_train_accuracy"] = runs["final_test_accuracy"] + 0.25
    tables.runs["inference_train_loss"] = runs["final_test_loss"] - 0.5
    ((_, new),) = plots.compute(tables, ["gap"])
    assert not any("batches" in warning for warning in new.warnings)
    for block, gap in ((0, 0.25), (1, 0.5)):
        means = new.frame.loc[new.frame["block"] == block, "mean"].dropna()
        assert len(means)
        assert means.to_numpy() == pytest.approx(gap)
