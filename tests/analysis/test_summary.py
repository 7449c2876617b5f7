import io
import json

import pytest
from helpers.synthetic import RATES, write_results
from rich.console import Console

from normbench.analysis.summary import summary_rows, summary_table
from normbench.analysis.tables import load_tables
from normbench.analysis.variants import best_rates, edges, label, levels, number, spread
from normbench.stats.outcome import Edge

AXES = {"model.norm": ["none", "batchnorm"], "model.depth": [3, 10], "optimizer.lr": RATES}


def printed(tables, width):
    out = io.StringIO()
    Console(file=out, width=width).print(summary_table(tables, width))
    return out.getvalue()


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return load_tables(write_results(tmp_path_factory.mktemp("s") / "s", axes=AXES, title="[bold]$ & €"))


def test_rows_are_json_and_count_every_run(tables):
    rows = summary_rows(tables)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert [(r["model.norm"], r["model.depth"]) for r in rows] == [
        *(("none", 3), ("none", 10), ("batchnorm", 3), ("batchnorm", 10)),
    ]
    for row in rows:
        assert row["runs"] == 55
        assert row["seeds"] == 5
        assert sum(row[o]["estimate"] for o in ("trains", "stuck", "diverged")) == pytest.approx(1)
        assert row["trains"]["low"] <= row["trains"]["estimate"] <= row["trains"]["high"]
    plain, hopeless, normed, _ = rows
    assert normed["largest_rate"]["low"] > plain["largest_rate"]["estimate"]
    assert hopeless["largest_rate"]["estimate"] is None
    assert hopeless["largest_rate"]["seeds_that_train_at_no_rate"] == 5
    assert normed["best"]["measure"] == "final test accuracy"
    assert normed["best"]["low"] < normed["best"]["estimate"] < normed["best"]["high"]


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_table_fits_and_says_what_the_numbers_are(tables, width):
    text = printed(tables, width)
    assert max(map(len, text.splitlines())) <= width
    flat = " ".join(text.split())
    for said in (
        "n = 5",
        "95 %",
        "at no rate",
        "0.5 x label entropy",
        "1,000 steps",
        "[bold]$ & €",
        "batchnorm",
    ):
        assert said in flat
    assert "…" not in text


def test_table_of_the_main_job_fits_80_columns(tmp_path):
    text = printed(load_tables(write_results(tmp_path / "f", seeds=2)), 80)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text


def test_without_rates_with_one_seed_and_all_diverged(tmp_path):
    tables = load_tables(write_results(tmp_path / "a", axes={"model.norm": ["none", "selu"]}, seeds=1))
    assert "largest rate" not in printed(tables, 80)
    assert summary_rows(tables)[0]["best"]["low"] is None
    axes = {"optimizer.lr": RATES[:3]}
    tables = load_tables(write_results(tmp_path / "b", axes=axes, seeds=2, diverge=True))
    assert "at no rate" in printed(tables, 80)
    assert "best" not in summary_rows(tables)[0]


def test_words_numbers_and_empty_cells_of_swept_keys(tmp_path):
    folder = write_results(
        tmp_path / "w", axes={"model.norm": ["none", "batchnorm"], "optimizer.lr": RATES[:2]}, seeds=1
    )
    lines = (folder / "runs.csv").read_text().splitlines()
    cells = [line.split(",") for line in lines]
    for row, (eps, odd) in zip(
        cells,
        [("model.norm.eps", "data.odd"), ("", "nan"), ("", "off"), (0.1, ""), (1e-5, "'=1")],
        strict=True,
    ):
        row[3:3] = [str(eps), odd]
    (folder / "runs.csv").write_text("\n".join(map(",".join, cells)) + "\n")
    runs = load_tables(folder).runs
    assert levels(runs, ("model.norm", "model.norm.eps")).labels == (
        *("none", "batchnorm, eps 1e-5", "batchnorm, eps 0.1"),
    )
    assert runs["data.odd"].tolist() == ["nan", "off", None, "=1"]
    assert levels(runs, ("data.odd",)).labels == ("nan", "off", "=1", "none")


def test_best_rate_counts_a_diverged_run_as_zero(tables):
    runs = tables.runs[tables.runs["model.norm"] == "none"].head(15).copy()
    runs["model.norm"] = "none"
    runs["outcome"] = ["trains"] * 14 + ["diverged"]
    runs["final_test_accuracy"] = [0.5] * 5 + [0.7] * 5 + [0.8] * 5  # the last one, 0.8, diverged later
    (best,) = best_rates(runs, ("model.norm",)).itertuples()
    assert (best.rate, best.edge) == (RATES[1], "")
    runs["outcome"] = "trains"
    (best,) = best_rates(runs, ("model.norm",)).itertuples()
    assert (best.rate, best.edge) == (RATES[2], "high")


def test_edges_by_group_and_seed(tables):
    runs = tables.runs[(tables.runs["model.depth"] == 3) & (tables.runs["seed"] < 2)].copy()
    order = {rate: i for i, rate in enumerate(RATES)}
    last = {"none": 4, "batchnorm": 10}
    trains = [order[r] <= last[n] for r, n in zip(runs["optimizer.lr"], runs["model.norm"], strict=True)]
    runs["outcome"] = ["trains" if t else "diverged" for t in trains]
    found = edges(runs, ("model.norm",))
    assert found[0] == {0: Edge(RATES[4], RATES[5]), 1: Edge(RATES[4], RATES[5])}
    assert found[1][0] == Edge(RATES[10], float("inf"))


def test_a_key_that_a_normalization_sets_is_spread(tmp_path):
    axes = {"model.norm": ["none", "selu"], "model.activation": ["relu", "tanh"], "optimizer.lr": RATES[:2]}
    tables = load_tables(write_results(tmp_path / "x", axes=axes, seeds=1))
    runs, said = spread(tables.runs, tables.swept)
    assert len(tables.runs) == 6
    assert len(runs) == 8
    assert said == ["activation is fixed for norm selu: shown with each activation"]
    assert set(runs["model.activation"]) == {"relu", "tanh"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.00316227766, "0.00316"),
        (1000.0, "1000"),
        (1e-5, "1e-5"),
        (31.6227, "31.6"),
        (3, "3"),
        (None, "none"),
        (True, "True"),
    ],
)
def test_numbers_are_short(value, text):
    assert number(value) == text


def test_labels_name_what_is_not_plain():
    assert label(("model.norm", "model.depth"), ("batchnorm", 3)) == "batchnorm, depth 3"
    assert label(("model.dropout.rate",), (0.5,), named=True) == "dropout rate 0.5"


def test_a_torn_last_line_is_left_out(tmp_path):
    # A sweep that was cut off mid-write: the records' own reader heals it.
    folder = write_results(tmp_path / "t", axes={"optimizer.lr": RATES[:3]}, seeds=2)
    whole = load_tables(folder)
    with (folder / "metrics.csv").open("a") as file:
        file.write("0123456789ab,12")
    torn = load_tables(folder)
    assert torn.metrics.equals(whole.metrics)
    assert torn.runs.equals(whole.runs)


@pytest.mark.parametrize("norm", ["clip", {"name": "clip", "bound": 2.0}])
def test_a_single_variant_has_the_name_of_its_normalization(norm, tmp_path):
    tables = load_tables(write_results(tmp_path / "one", axes={"optimizer.lr": RATES[:3]}, seeds=2))
    tables.config["model"] = {**tables.config.get("model", {}), "norm": norm}
    assert [row["variant"] for row in summary_rows(tables)] == ["clip"]
    assert "clip" in printed(tables, 80)
