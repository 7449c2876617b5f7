import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pandas as pd
import pytest
from helpers.figures import assert_readable, pages, texts
from helpers.synthetic import RATES, write_results

from normbench import plots
from normbench.analysis.tables import load_tables
from normbench.errors import NormbenchError, RecordsError
from normbench.plots.figures import FIGURES
from normbench.plots.view import Request, view

NAMES = [kind.key() for kind in FIGURES.classes() if not kind.probe]


@pytest.mark.parametrize("name", NAMES)
def test_each_figure_is_readable_and_says_what_it_shows(folder, name):
    tables = load_tables(folder)
    drawn = pages(tables, name)
    assert drawn
    for figure in drawn.values():
        assert_readable(figure)
        said = texts(figure)
        assert "n = 3 seeds" in said
        assert "1,000 steps" in said
        assert "Costs $5, or $6 & <more>" in said  # as it was written, no mathematics
        assert "width 100" in said  # what all runs share, once
        if name != "steps_to_target":
            assert "0.5 x label entropy" in said


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("montage", "claims")])
def test_figures_of_the_quickstart_are_readable(small, name):
    for figure in pages(load_tables(small), name).values():
        assert_readable(figure)
        assert "n = 5 seeds" in texts(figure)


def test_panels_of_the_main_job(folder):
    tables = load_tables(folder)
    drawn = pages(tables, "convergence", "largest_rate", "heatmap")
    # selu sets its activation: a column of its own, but no row of its own
    assert len([a for a in drawn["convergence"].axes if a.get_label().startswith("panel")]) == 6 * 4
    assert "activation is fixed for norm selu" in texts(drawn["convergence"])
    assert len(drawn["largest_rate"].axes) == 2
    assert len(drawn["heatmap"].axes) == 6 * 2 + 1


def test_claims_have_a_row_for_each_verdict(folder):
    (figure,) = pages(load_tables(folder), "claims").values()
    assert len(figure.axes) == 2 * 2 + 1 + 1
    said = texts(figure)
    heads = " ".join(ax.get_title() for ax in figure.axes)
    assert "C2: Batch normalization allows larger rates, costs $5 & is <long> to read." in " ".join(
        heads.split()
    )
    assert "refuted, n = 3" in said
    names = [tick.get_text() for ax in figure.axes for tick in ax.get_yticklabels()]
    assert "depth 10,\nactivation relu" in names or "depth 10, activation relu" in names


def test_files_are_the_same_bytes_each_time(small, tmp_path):
    names = ["rate", "largest_rate"]
    first = plots.plot_results(small, names, out=tmp_path / "a")
    second = plots.plot_results(small, names, out=tmp_path / "b")
    assert [p.name for p in first] == ["rate.png", "rate.svg", "largest_rate.png", "largest_rate.svg"]
    assert {p.name for p in (tmp_path / "a").iterdir()} == {p.name for p in first}  # no half files
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    for path in first:
        if path.suffix == ".svg":
            ET.fromstring(path.read_bytes())
            assert b"<dc:date>" not in path.read_bytes()


def test_the_callers_matplotlib_settings_stay(small, tmp_path):
    with matplotlib.rc_context({"lines.linewidth": 7.5, "text.parse_math": True}):
        plots.plot_results(small, ["largest_rate"], formats=["svg"], out=tmp_path)
        assert matplotlib.rcParams["lines.linewidth"] == 7.5
        assert matplotlib.rcParams["text.parse_math"]


def test_picks_the_figures_that_make_sense(small, tmp_path):
    assert [k.name for k in plots.choose(load_tables(small))] == [
        *("summary", "convergence", "rate", "largest_rate", "steps_to_target"),
        *("heatmap", "best_vs_equal", "gap"),
    ]
    no_rate = write_results(tmp_path / "r", axes={"model.norm": ["none", "batchnorm"]}, seeds=6)
    tables = load_tables(no_rate)
    assert [k.name for k in plots.choose(tables)] == ["convergence", "steps_to_target", "gap"]
    for figure in pages(tables).values():
        assert_readable(figure)
    with pytest.raises(NormbenchError, match=r"'largest_rate'.*makes no sense"):
        plots.choose(tables, ["largest_rate"])


@pytest.mark.parametrize(
    "axes", [{"x": "model.depth"}, {"color": "seed", "panel": "norm"}, {"panel": "seed"}]
)
def test_any_swept_key_as_axis_color_or_panel(folder, axes):
    tables = load_tables(folder)
    drawn = pages(tables, "rate", **axes)
    for figure in drawn.values():
        assert_readable(figure)
    if "seed" in axes.values():
        assert "no interval" in texts(drawn["rate"])


def test_montage_takes_any_two_keys(folder):
    drawn = pages(
        load_tables(folder),
        "montage",
        x="model.norm",
        panel="model.activation,model.depth",
        color="optimizer.lr",
    )
    (figure,) = drawn.values()
    assert len(figure.axes) == 6 * 4
    assert_readable(figure)


def test_wrong_wishes_name_the_choices(small):
    tables = load_tables(small)
    with pytest.raises(
        NormbenchError, match=r"x: 'model.nrom' .*did you mean 'model.norm'.*optimizer.lr, seed"
    ):
        pages(tables, "rate", x="model.nrom")
    with pytest.raises(NormbenchError, match=r"panel: 'width' is not swept here"):
        pages(tables, "rate", panel=["width"])
    with pytest.raises(NormbenchError, match="figure: 'rat' is unknown; did you mean 'rate'"):
        pages(tables, "rat")
    with pytest.raises(NormbenchError, match="target: 90 is no accuracy"):
        pages(tables, "steps_to_target", target=90)
    with pytest.raises(NormbenchError, match="format: 'gif'"):
        plots.plot_results(small, formats=["gif"])
    with pytest.raises(RecordsError, match="no such folder"):
        plots.plot_results(small / "nowhere")


@pytest.mark.parametrize("seeds", [1, 2])
def test_all_diverged_and_a_single_seed(tmp_path, seeds):
    axes = {"model.norm": ["none", "batchnorm"], "optimizer.lr": RATES[:4]}
    tables = load_tables(write_results(tmp_path / "d", axes=axes, seeds=seeds, diverge=True))
    drawn = pages(tables)
    assert "rate" in drawn
    for figure in drawn.values():
        assert_readable(figure)
    assert "trains at no rate" in texts(drawn["largest_rate"])


def test_of_keys_that_fix_each_other_one_makes_panels(tmp_path):
    axes = {"model.norm": ["none", "batchnorm"], "model.depth": [3, 5], "optimizer.lr": RATES[::2]}
    folder = write_results(tmp_path / "t", axes=axes, seeds=2)
    table = pd.read_csv(folder / "runs.csv", dtype=str, keep_default_na=False)
    table.insert(table.columns.get_loc("status"), "train.steps", table["model.depth"] + "00")
    table.to_csv(folder / "runs.csv", index=False)
    tables = load_tables(folder)
    shown = view(tables, Request(), x="optimizer.lr")
    assert shown.panels.keys == ("model.depth",)
    assert "largest_rate" in pages(tables)


def test_one_seed_has_no_band(tmp_path):
    axes = {"model.norm": ["none", "batchnorm"], "optimizer.lr": RATES[::2]}
    tables = load_tables(write_results(tmp_path / "o", axes=axes, seeds=1))
    drawn = pages(tables)
    assert "n = 1 seed" in texts(drawn["rate"])
    assert "no interval" in texts(drawn["rate"])
    assert not [c for ax in drawn["rate"].axes for c in ax.collections]


def test_a_sweep_in_progress_with_holes_and_nans(small, tmp_path):
    for name in ("config.yaml", "runs.csv", "metrics.csv"):
        (tmp_path / name).write_bytes((small / name).read_bytes())
    runs = pd.read_csv(tmp_path / "runs.csv", dtype=str, keep_default_na=False)
    for start, status in ((0, "pending"), (3, "crashed"), (50, "interrupted")):
        rows = runs.index[start : start + 3]
        runs.loc[rows, "status"] = status
        kept = ["run_id", "seed", "model.norm", "optimizer.lr", "status"]
        runs.loc[rows, [c for c in runs if c not in kept]] = ""
    runs.loc[20, "final_test_accuracy"] = "nan"
    runs.to_csv(tmp_path / "runs.csv", index=False)
    metrics = pd.read_csv(tmp_path / "metrics.csv")
    metrics.loc[300:400, "train_loss"] = np.inf
    metrics[~metrics["run_id"].isin(runs["run_id"][:3])].to_csv(tmp_path / "metrics.csv", index=False)
    drawn = pages(load_tables(tmp_path))
    shown = texts(drawn["rate"])
    assert "6 runs are without an outcome" in shown
    assert "3 crashed runs are left out" in shown


def test_a_best_rate_at_the_edge_is_flagged(tmp_path):
    axes = {"model.norm": ["none", "batchnorm"], "optimizer.lr": RATES[:4]}  # batchnorm would go further
    tables = load_tables(write_results(tmp_path / "e", axes=axes, seeds=3))
    assert "grid's edge" in texts(pages(tables, "rate")["rate"])
    assert "grid's edge" in texts(pages(tables, "steps_to_target")["steps_to_target"])
    assert "trains up to the last rate" in texts(pages(tables, "largest_rate")["largest_rate"])


def test_another_threshold_judges_again(small):
    strict = load_tables(small, trains_below=0.05)
    assert (strict.runs["outcome"] == "trains").sum() < (load_tables(small).runs["outcome"] == "trains").sum()
    assert "0.05 x label entropy" in texts(pages(strict, "rate")["rate"])


def test_long_words_and_many_levels_stay_readable(tmp_path):
    words = [f"a_rather_long_value_number_{i}" for i in range(12)]
    axes = {"model.norm": words, "model.width": [8, 16, 32], "optimizer.lr": [0.01, 0.1, 1.0]}
    tables = load_tables(write_results(tmp_path / "l", axes=axes, seeds=2, title="x" * 300))
    for figure in pages(tables, "rate", "largest_rate", "heatmap").values():
        assert_readable(figure)
