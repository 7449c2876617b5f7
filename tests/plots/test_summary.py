"""The figure `summary`: words where there is no number, and many variants on one page."""

import pytest
from helpers import results
from helpers.figures import assert_readable, pages, panel, panels
from helpers.synthetic import write_results

from normbench.analysis.tables import load_tables

ENDS = {  # norm -> how the runs of each seed end at the rates 0.1, 1 and 10
    "none": ["SSS", "SSS", "SSS"],
    "batchnorm": ["DDD", "DDD", "DDD"],
    "layernorm": ["SDD", "SDD", "SDD"],
    "weightnorm": ["TTT", "TTT", "TTT"],
    "selu": ["CCC", "CCC", "CCC"],
    "rmsnorm": ["TTD", "TSD", "SSS"],
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    runs = [
        run
        for norm, seeds in ENDS.items()
        for seed, ends in enumerate(seeds)
        for end, rate in zip(ends, (0.1, 1.0, 10.0), strict=True)
        for run in results.rate_runs(
            {"model.norm": norm},
            seed,
            [rate],
            end,
            curve={0: 0.1, 500: 0.4, 1000: 0.9 if end == "T" else 0.1},
            final_test_accuracy=0.9 if end == "T" else 0.1,
        )
    ]
    results.write(folder, runs)
    (figure,) = pages(load_tables(folder), "summary", target=0.8).values()
    return figure


def said(figure, column):
    ax = panel(figure, 0, column)
    return {list(ENDS)[int(text.get_position()[1])]: text.get_text() for text in ax.texts}


def test_a_cell_without_a_rate_is_said_in_words(drawn):
    assert_readable(drawn)
    assert said(drawn, 0) == {
        "none": "stuck at every rate",
        "batchnorm": "diverges at every rate",
        "layernorm": "no rate trains (diverged, stuck)",
        "selu": "crashed at every rate",
        "weightnorm": "at least 10",
        "rmsnorm": "1 (2 of 3 seeds)",  # the geometric mean of sqrt(1 x 10) and sqrt(0.1 x 1)
    }


def test_steps_that_are_never_reached_are_said_in_words(drawn):
    steps = said(drawn, 2)
    assert steps["none"] == "never"
    assert steps["batchnorm"] == "never"
    assert steps["selu"] == "crashed"
    assert steps["weightnorm"] == "1,000"
    assert steps["rmsnorm"] == "1,000 (2 of 3 reach it)"


def test_an_accuracy_without_a_number_is_said_in_words(drawn):
    accuracy = said(drawn, 1)
    assert accuracy["none"].startswith("stuck: ")
    assert accuracy["batchnorm"] == "3 of 3 diverged"
    assert accuracy["rmsnorm"].startswith("63.3 % at 0.1")
    assert accuracy["selu"] == "3 of 3 crashed"


@pytest.mark.parametrize(("norms", "depths"), [(2, 1), (2, 4), (17, 1), (17, 2)])
def test_many_variants_and_depths_are_readable(tmp_path, norms, depths):
    axes = {
        "model.norm": [f"norm_of_mine_{i}" for i in range(norms)],
        **({"model.depth": [3, 5, 10, 20][:depths]} if depths > 1 else {}),
        "optimizer.lr": [0.1, 1.0, 10.0],
    }
    (figure,) = pages(
        load_tables(write_results(tmp_path / "m", axes=axes, seeds=1, evaluations=3)), "summary"
    ).values()
    assert_readable(figure)
    assert len(panels(figure)) == 3 * depths
    for ax in panels(figure).values():
        assert len(ax.get_yticks()) == norms
