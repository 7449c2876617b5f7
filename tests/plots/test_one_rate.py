"""Curves of all variants on one pair of axes: each at its best learning rate, or all at a given one."""

import numpy as np
import pytest
from helpers.figures import colors, pages, panel, panels, segments, texts
from helpers.plain_records import Records, bands_at
from helpers.synthetic import write_results

from normbench.analysis.tables import load_tables
from normbench.errors import NormbenchError

RATES = [0.0316228, 0.1, 0.3162278, 1.0, 3.1622777]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    axes = {"model.norm": ["none", "batchnorm", "selu"], "optimizer.lr": RATES}
    return write_results(tmp_path_factory.mktemp("rate") / "r", axes=axes, seeds=3)


@pytest.fixture(scope="module")
def tables(folder):
    return load_tables(folder)


def curve_of(records, norm, lr, measure, log, outcomes=("trains",)):
    runs = records.cell(norm, lr, outcomes=outcomes)
    return bands_at([records.curve(run, measure) for run in runs], log)


def assert_drawn(ax, color, curve):
    wanted = np.array([(x, ends[0]) for x, ends in sorted(curve.items())])
    assert any(
        d.shape == wanted.shape and np.allclose(d, wanted, rtol=1e-5) for d in segments(ax, color, 1.3)
    )


@pytest.mark.parametrize(
    ("figure", "measure", "log"),
    [("convergence", "train_loss", True), ("convergence_accuracy", "test_accuracy", False)],
)
def test_each_variant_is_drawn_at_its_own_best_rate(folder, tables, figure, measure, log):
    records = Records(folder)
    (page,) = pages(tables, figure, rate="best").values()
    assert list(panels(page)) == [(0, 0)]
    of = colors(page)
    best = {norm: records.best_lr(norm) for norm in records.norms}
    assert len(set(best.values())) > 1
    for norm in records.norms:
        assert_drawn(panel(page), of[norm], curve_of(records, norm, best[norm], measure, log))
    assert len(segments(panel(page), None, 1.3)) == 3
    assert "each at its best learning rate" in texts(page)
    for norm, rate in best.items():
        assert f"{norm}: {rate:.3g}" in texts(page)


@pytest.mark.parametrize("wish", ["0.316", 0.3162278, "0.3162278", "3.162278e-1"])
def test_all_variants_are_drawn_at_the_given_rate(folder, tables, wish):
    records = Records(folder)
    (page,) = pages(tables, "convergence", rate=wish).values()
    for norm in records.norms:
        if records.cell(norm, 0.3162278, outcomes=["trains"]):
            assert_drawn(
                panel(page), colors(page)[norm], curve_of(records, norm, 0.3162278, "train_loss", True)
            )
    assert "all at learning rate 0.316" in texts(page)


def test_other_keys_stay_panels(tmp_path):
    axes = {"model.norm": ["none", "batchnorm"], "model.depth": [3, 5], "optimizer.lr": RATES}
    tables = load_tables(write_results(tmp_path / "d", axes=axes, seeds=2))
    (page,) = pages(tables, "convergence", rate="best").values()
    assert [panels(page)[0, c].get_title() for c in (0, 1)] == ["depth 3", "depth 5"]
    assert "norm none, depth 3: " in texts(page)


def test_a_best_rate_at_the_edge_is_named(tmp_path):
    axes = {"model.norm": ["none", "batchnorm"], "optimizer.lr": RATES[:2]}
    tables = load_tables(write_results(tmp_path / "e", axes=axes, seeds=2))
    (page,) = pages(tables, "convergence", rate="best").values()
    assert "at the grid's edge: norm none, batchnorm" in texts(page)


def test_a_rate_that_cannot_be_drawn_is_refused(tables, tmp_path):
    choices = "one of: best, 0.0316, 0.1, 0.316, 1, 3.16"
    for wish in ("0.2", "bets", "nan", "", -1):
        with pytest.raises(NormbenchError, match=rf"rate: '{wish}' is no learning rate.*{choices}"):
            pages(tables, "convergence", rate=wish)
    with pytest.raises(
        NormbenchError, match="rate: heatmap cannot be drawn at one learning rate; one of: con"
    ):
        pages(tables, "heatmap", rate="best")
    one = load_tables(write_results(tmp_path / "o", axes={"model.norm": ["none", "batchnorm"]}, seeds=2))
    with pytest.raises(NormbenchError, match="rate: the learning rate does not vary in"):
        pages(one, "convergence", rate="best")
