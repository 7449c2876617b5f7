"""What a reader takes from the axes: all labels, whole steps, no impossible values, dots at their names."""

import numpy as np
import pytest
from helpers import results
from helpers.figures import assert_readable, dots, pages, panel, panels
from helpers.synthetic import RATES, write_results
from matplotlib.figure import Figure

from normbench.analysis.tables import load_tables
from normbench.plots.axes import set_axes, share_limits
from normbench.plots.chart import Axis, Place
from normbench.plots.style import DASHES, Look


def ticks(axis):
    """Return the labels of the ticks within the limits."""
    low, high = axis.get_view_interval()
    places = [t for t in axis.get_majorticklocs() if low <= t <= high]
    return axis.get_major_formatter().format_ticks(places)


def drawn(x=None, y=None, width=3.0):
    """Return empty axes of these kinds."""
    ax = Figure(figsize=(4, 3)).add_subplot()
    set_axes(ax, Look((), width, 2.0, 9.0, x or Axis(limits=(0, 1)), y or Axis(limits=(0.0, 1.0))))
    return ax


@pytest.mark.parametrize("norms", [1, 2, 7])
def test_a_map_names_each_rate_and_each_depth(tmp_path, norms):
    names = ["none", "batchnorm", "layernorm", "weightnorm", "mean_only_batchnorm", "selu", "rmsnorm"]
    axes = {"model.norm": names[:norms], "model.depth": [1, 2, 3, 5, 8], "optimizer.lr": RATES}
    tables = load_tables(write_results(tmp_path / "m", axes=axes, seeds=1, evaluations=3))
    (figure,) = pages(tables, "heatmap").values()
    assert_readable(figure)
    last = max(panels(figure))
    assert [text.get_text() for text in panels(figure)[last].get_xticklabels()] == [f"{r:.3g}" for r in RATES]
    assert [text.get_text() for text in panel(figure).get_yticklabels()] == ["1", "2", "3", "5", "8"]


@pytest.mark.parametrize("most", [1, 2, 3, 5, 12, 980, 25_000])
def test_ticks_of_steps_are_whole_numbers(most):
    shown = [
        ticks(drawn(x=Axis("step", "step", values=(0.0, most), whole=True)).xaxis),
        ticks(drawn(y=Axis("steps to 0.9", limits=(0.0, 1.08 * most), whole=True)).yaxis),
        ticks(drawn(x=Axis("steps to 0.9", limits=(0.0, 1.08 * most), whole=True)).xaxis),
        ticks(drawn(y=Axis("steps", limits=(0.4, 30.0 * most), log=True, whole=True)).yaxis),
    ]
    for labels in shown:
        assert labels
        assert not any("." in text for text in labels)
        assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("most", [0.3, 0.6, 2.0])
def test_ticks_of_epochs_may_be_parts_of_one(most):
    labels = ticks(drawn(x=Axis("epoch", "step", values=(0.0, most))).xaxis)
    assert len(labels) > 2
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("name", ["rate", "convergence_accuracy", "montage", "summary", "best_vs_equal"])
def test_no_axis_of_shares_goes_on_beyond_the_possible(tmp_path, name):
    runs = [
        run
        for norm, ends in (("none", "TTS"), ("batchnorm", "TTT"))
        for seed in range(2)
        for run in results.rate_runs(
            {"model.norm": norm}, seed, [0.1, 1.0, 10.0], ends, curve={0: 0.0, 500: 1.0, 1000: 1.0},
            final_test_accuracy=(1.0, 0.999)[seed] if norm == "none" else 1.0,
        )
    ]  # fmt: skip
    results.write(tmp_path, runs)
    (figure,) = pages(load_tables(tmp_path), name).values()
    places = [panel(figure, 0, 0)]
    if name == "summary":
        places = [panel(figure, 0, 1)]
    for ax in places:
        axis = ax.xaxis if name in ("summary", "best_vs_equal") else ax.yaxis
        low, high = sorted(axis.get_view_interval())
        assert low >= 0
        assert high <= (1.0 if axis is ax.yaxis else 100.0)


def test_a_mark_at_the_edge_of_a_panel_is_drawn_whole(tmp_path):
    runs = [
        run
        for norm in ("none", "batchnorm")
        for run in results.rate_runs({"model.norm": norm}, 0, [0.1, 1.0], "TT", final_test_accuracy=1.0)
    ]
    results.write(tmp_path, runs)
    (figure,) = pages(load_tables(tmp_path), "rate").values()
    ax = panel(figure)
    assert ax.get_ylim()[1] == 1.0
    marks = [line for line in ax.lines if line.get_marker() in ("o", "s") and 1.0 in line.get_ydata()]
    assert marks
    assert not any(line.get_clip_on() for line in marks)


@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_dots_are_at_the_name_of_their_variant(tmp_path, seeds):
    axes = {"model.norm": ["none", "batchnorm"], "optimizer.lr": RATES[::2]}
    tables = load_tables(write_results(tmp_path / "d", axes=axes, seeds=seeds, evaluations=3))
    ax = panel(pages(tables, "largest_rate")["largest_rate"])
    for place in (0, 1):
        xs = np.array(
            [x for sign in ("o", "s", "_") for x, _ in dots(ax, marker=sign) if abs(x - place) < 0.5]
        )
        assert (xs.min() + xs.max()) / 2 == pytest.approx(place, abs=0.02)


def test_a_sample_of_a_line_shows_its_dashes_beside_its_mark(tmp_path):
    axes = {"model.norm": ["none", "batchnorm", "layernorm", "weightnorm"], "optimizer.lr": RATES[::3]}
    tables = load_tables(write_results(tmp_path / "l", axes=axes, seeds=1, evaluations=3))
    (figure,) = pages(tables, "rate").values()
    lines = [
        h for legend in figure.legends for h in legend.legend_handles if h.is_dashed() and h.get_marker()
    ]
    assert len(lines) == 3
    for line in lines:
        dashes = max(DASHES, key=lambda one: 0 if one == "-" else sum(one[1]))[1]
        beside = (np.ptp(line.get_xdata()) - line.get_markersize()) / 2
        assert beside > sum(dashes) * line.get_linewidth()  # each pattern is there once on either side


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_panels_get_the_limits_that_shared_axes_have(scale):
    """The panels of a page have one horizontal axis, those of a block one vertical axis."""
    data = [([], []), ([0.01, 3.0], [1.0, 2.0]), ([0.2, 40.0], [-5.0, 1.5]), ([0.1], [30.0])]
    figure, shared = Figure(), Figure().subplots(4, 1, sharex=True, squeeze=False)[:, 0]
    blocks = [Figure().subplots(2, 1, sharey=True) for _ in range(2)]
    places = {Place(r, 0, r, r // 2, Axis(), Axis()): figure.add_subplot(4, 1, r + 1) for r in range(4)}
    for (x, y), *row in zip(data, places.values(), shared, [ax for own in blocks for ax in own], strict=True):
        for ax in row:
            ax.set_xscale(scale)
            ax.plot(x, y)
    share_limits(places, (0, 2))
    for ax, wide, tall in zip(places.values(), shared, [ax for own in blocks for ax in own], strict=True):
        assert ax.get_xlim() == wide.get_xlim()
        assert ax.get_ylim() == tall.get_ylim()


def test_limits_of_the_chart_stay():
    figure = Figure()
    first, second = (figure.add_subplot(2, 1, i) for i in (1, 2))
    axis = Axis(limits=(0.0, 1.0))
    first.set(xlim=(0.0, 1.0), ylim=(0.0, 1.0))
    second.plot([3.0, 5.0], [3.0, 5.0])
    share_limits({Place(0, 0, 0, 0, axis, axis): first, Place(1, 0, 1, 1, Axis(), Axis()): second}, (0, 1))
    assert first.get_xlim() == (0.0, 1.0)
    assert second.get_xlim() == pytest.approx((2.9, 5.1))
