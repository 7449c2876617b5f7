"""Labels stay whole, holes in a grid lose no title, and runs for which a key is set stand in every panel."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers.figures import assert_readable, pages, panels, texts
from helpers.synthetic import RATES, write_results

from normbench.analysis.tables import load_tables
from normbench.analysis.variants import spread
from normbench.plots.labels import balanced, parts, width, wrap

POSITIONS = ["before_activation", "after_activation", "layer_input"]


def write(folder, keep, **axes):
    """Write results of which `keep` (a function of the runs) says which rows there are."""
    where = write_results(folder, axes=axes, seeds=2)
    runs = pd.read_csv(where / "runs.csv", keep_default_na=False)
    runs[keep(runs)].to_csv(where / "runs.csv", index=False)
    return load_tables(where)


@pytest.fixture(scope="module")
def placed(tmp_path_factory):
    """Positions of the normalization, of which `none` has only the one that stands for none at all."""
    return write(
        tmp_path_factory.mktemp("placed") / "r",
        lambda runs: (runs["model.norm"] != "none") | (runs["model.norm_position"] == POSITIONS[0]),
        **{
            "model.activation": ["sigmoid", "relu"],
            "model.norm": ["none", "batchnorm", "layernorm"],
            "model.norm_position": POSITIONS,
            "optimizer.lr": RATES[::2],
        },
    )


@pytest.fixture(scope="module")
def dropped(tmp_path_factory):
    """Three keys beside the rate; without dropout there is no rate of it."""
    return write(
        tmp_path_factory.mktemp("dropped") / "r",
        lambda runs: (runs["model.dropout.placement"] == "none") == (runs["model.dropout.rate"] == 0),
        **{
            "model.norm": ["none", "batchnorm"],
            "model.dropout.placement": ["none", "input", "before_norm", "after_norm", "after_activation"],
            "model.dropout.rate": [0.0, 0.2, 0.5],
            "optimizer.lr": [0.03, 0.1, 0.3],
        },
    )


def test_a_column_without_a_top_panel_keeps_its_title_and_ticks(tmp_path):
    tables = write(
        tmp_path / "h",
        # neither the first row nor the last is whole
        lambda r: (
            np.where(r["model.norm"] == "layernorm", r["model.depth"] != 5, True)
            & np.where(r["model.norm"] == "none", r["model.depth"] == 5, True)
        ),
        **{
            "model.norm": ["none", "batchnorm", "layernorm"],
            "model.depth": [3, 5, 10],
            "model.activation": ["sigmoid", "relu"],
            "optimizer.lr": RATES[::3],
        },
    )
    (figure,) = pages(tables, "convergence").values()
    assert_readable(figure)
    found = panels(figure)
    columns = {c for _, c in found}
    assert len(columns) == 6
    assert {r for r, c in found if c == 0} == {1, 2}
    titles = set()
    for column in columns:
        top, bottom = min(r for r, c in found if c == column), max(r for r, c in found if c == column)
        titles.add(found[top, column].get_title().replace("\n", " "))
        assert any(t.label1.get_visible() for t in found[bottom, column].xaxis.get_major_ticks())
    assert titles == {f"depth {d}, activation {a}" for d in (3, 5, 10) for a in ("sigmoid", "relu")}
    for row in {r for r, _ in found}:
        left = found[row, min(c for r, c in found if r == row)]
        assert any(t.label1.get_visible() for t in left.yaxis.get_major_ticks())
    for name in ("norm none", "batchnorm", "layernorm"):
        assert name in texts(figure)


@pytest.mark.parametrize(
    "results", ["placed", *(pytest.param(one, marks=pytest.mark.thorough) for one in ("dropped", "folder"))]
)
def test_no_label_of_any_figure_is_cut_short(results, request):
    tables = request.getfixturevalue(results)
    tables = load_tables(tables) if results == "folder" else tables
    for name, figure in pages(tables).items():
        assert_readable(figure)
        said = " ".join([texts(figure), *(ax.get_title() for ax in figure.axes)])
        assert "…" not in said, name


def test_rows_of_equal_beginning_can_be_told_apart(placed):
    (figure,) = pages(placed, "best_vs_equal").values()
    said = texts(figure)
    for activation in ("sigmoid", "relu"):
        for position in POSITIONS:
            assert f"activation {activation}, norm_position {position}" in said


def test_the_name_of_an_axis_keeps_one_line_where_the_page_has_room(placed, dropped):
    for tables in (placed, dropped):
        (figure,) = pages(tables, "largest_rate").values()
        assert "largest learning rate that trains" in [t.get_text() for t in figure.texts]


def test_a_normalization_without_a_layer_is_shown_with_every_position(placed):
    runs, said = spread(placed.runs, placed.swept)
    assert said == ["norm_position is fixed for norm none: shown with each norm_position"]
    shown = runs.groupby("model.norm")["model.norm_position"].unique().map(list)
    assert all(positions == POSITIONS for positions in shown)
    assert list(dict.fromkeys(runs["model.norm"])) == list(dict.fromkeys(placed.runs["model.norm"]))
    drawn = pages(placed)
    for figure in drawn.values():
        assert said[0] in texts(figure)
    assert len(panels(drawn["convergence"])) == 2 * 3 * 3


def test_a_single_value_that_may_be_the_users_choice_is_left_alone(tmp_path):
    tables = write(
        tmp_path / "c",
        lambda r: (
            np.where(r["model.norm"] == "batchnorm", True, r["model.norm_position"] == POSITIONS[0])
            & np.where(r["model.norm"] == "batchnorm", r["model.width"] == 16, r["model.width"] == 8)
        ),
        **{
            "model.norm": ["batchnorm", "layernorm"],
            "model.norm_position": POSITIONS,
            "model.width": [8, 16],
            "optimizer.lr": [0.1],
        },
    )
    runs, said = spread(tables.runs, tables.swept)
    assert not said
    assert len(runs) == len(tables.runs)


def test_no_dropout_is_shown_with_every_rate_of_dropout(dropped):
    runs, said = spread(dropped.runs, dropped.swept)
    assert said == ["dropout rate is fixed for dropout placement none: shown with each dropout rate"]
    assert set(runs["model.dropout.rate"]) == {0.2, 0.5}
    (figure,) = pages(dropped, "convergence").values()
    assert figure.get_figheight() < 10  # not a row for each placement and rate
    assert len(panels(figure)) == 5 * 4


def test_a_loss_that_exploded_does_not_flatten_the_gap(placed):
    runs = placed.runs.copy()
    stuck = runs.index[runs["outcome"] == "stuck"]
    runs.loc[stuck[0], "final_train_loss"] = 1e11
    tables = replace(placed, runs=runs)
    (figure,) = pages(tables, "gap").values()
    assert "stuck seeds far beyond the others are cut off" in texts(figure)
    assert all(abs(end) < 10 for ax in panels(figure).values() for end in ax.get_ylim())


def test_wrapping_breaks_words_last():
    assert wrap("norm_position before_activation", 1.3, 8.0) == ["norm_position", "before_activation"]
    assert parts("depth 3, activation relu", 1.0, 8.0) == ["depth 3,", "activation relu"]
    assert "".join(wrap("weightnorm_mean_only_batchnorm", 1.0, 8.0)) == "weightnorm_mean_only_batchnorm"
    assert all(width(line, 8.0) <= 0.5 for line in wrap("x" * 80, 0.5, 8.0))
    lines = balanced("mean training loss of the last tenth of the steps (nats)", 2.4, 9.5)
    assert len(lines) == 2
    assert abs(len(lines[0]) - len(lines[1])) < 12


def test_colors_tell_good_accuracies_apart(placed):
    runs = placed.runs.assign(final_test_accuracy=np.linspace(0.91, 0.98, len(placed.runs)), outcome="trains")
    (figure,) = pages(replace(placed, runs=runs), "heatmap").values()
    bar = next(ax for ax in figure.axes if ax.get_label() == "color bar")
    assert bar.get_ylim() == pytest.approx((0.9, 1.0))
    (figure,) = pages(placed, "heatmap").values()
    bar = next(ax for ax in figure.axes if ax.get_label() == "color bar")
    assert bar.get_ylim() == (0.0, 1.0)


def test_a_sentence_with_a_comma_near_a_break_takes_no_line_more_for_it():
    text = "C2: With fewer and with more steps, too, rates may be at least three times as large."
    assert len(parts(text, 4.0, 9.0)) == len(balanced(text, 4.0, 9.0)) == 2
    assert parts("depth 3, activation relu", 1.2, 9.0) == ["depth 3,", "activation relu"]
