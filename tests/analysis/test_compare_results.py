"""`normbench compare`: two results held against each other, by the command."""

import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from helpers.synthetic import RATES, write_results
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from normbench.analysis.compare_results import compare
from normbench.cli import app
from normbench.stats.corrections import holds, holm
from normbench.stats.intervals import Span, p_beyond, span_interval

AXES = {"model.norm": ["none", "batchnorm"], "model.depth": [3, 5], "optimizer.lr": RATES[4:9]}
CLAIM = {
    "id": "C2",
    "statement": "Batch normalization allows larger rates.",
    "measure": "max_stable_lr",
    "of": {"model.norm": "batchnorm"},
    "against": {"model.norm": "none"},
    "for_each": ["model.depth"],
    "expect": {"ratio_at_least": 1.5},
}


@pytest.fixture
def both(tmp_path):
    for side in "ab":
        write_results(tmp_path / side / "x", axes=AXES, seeds=8)
        configure(tmp_path / side / "x", claims=[CLAIM])
    return tmp_path / "a", tmp_path / "b"


def configure(folder, **changes):
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}, sort_keys=False))


def change(folder, how):
    path = folder / "runs.csv"
    runs = pd.read_csv(path, keep_default_na=False, na_values=[""])
    how(runs)
    runs.to_csv(path, index=False)


def command(*words):
    result = CliRunner().invoke(app, ["compare", *map(str, words)])
    return result.exit_code, result.output


def told(one, other, *words):
    result = CliRunner().invoke(app, ["compare", str(one), str(other), "--json", *words])
    return result.exit_code, json.loads(result.stdout)


def test_a_result_against_itself_has_not_moved(both):
    code, text = command(both[0], both[0])
    assert code == 0
    assert "0 of " in text
    assert "0 of 2 verdicts" in text
    code, answer = told(*both)
    assert code == 0
    assert not answer["moved"]
    assert {one["measure"] for one in answer["cells"]} == {
        "largest rate that trains",
        "final test accuracy",
        "final test loss",
    }
    assert sum(one["measure"] == "largest rate that trains" for one in answer["cells"]) == 4
    assert sum(one["measure"] == "final test accuracy" for one in answer["cells"]) == 20
    assert answer["claims"] == answer["not_compared"] == []


def test_one_cell_that_moved_is_found_among_others_that_are_noisy(both):
    def worse(runs):
        rng = np.random.default_rng(1)
        runs["final_test_accuracy"] += rng.normal(0, 0.003, len(runs))
        one = (runs["model.norm"] == "none") & (runs["model.depth"] == 5) & (runs["optimizer.lr"] < 0.2)
        runs.loc[one, "final_test_accuracy"] -= 0.1

    change(both[1] / "x", worse)
    code, answer = told(*both)
    assert code == 4
    moved = [one for one in answer["cells"] if one["moved"]]
    assert {one["measure"] for one in moved} == {"final test accuracy"}
    assert {one["cell"] for one in moved} == {"norm none, depth 5, learning rate 0.1"}
    assert -0.11 < moved[0]["ci_low"] < moved[0]["ci_high"] < -0.09
    assert moved[0]["n"] == 8
    code, text = command(both[1] / "x", both[0] / "x")
    assert code == 4
    assert "Moved beyond noise" in text
    assert "1 of " in text.partition("Moved")[2]


def test_a_difference_that_is_no_news_does_not_move(both):
    change(
        both[1] / "x",
        lambda runs: runs.__setitem__("final_test_accuracy", runs["final_test_accuracy"] + 9e-4),
    )
    assert told(*both)[0] == 0


def test_a_verdict_that_is_turned_round_counts_and_one_that_is_lost_is_told(both):
    def exchange(runs):
        names = runs["model.norm"].map({"none": "batchnorm", "batchnorm": "none"})
        runs["model.norm"] = names.where(runs["model.depth"] == 3, runs["model.norm"])

    change(both[1] / "x", exchange)
    code, answer = told(*both)
    assert code == 4
    (flip,) = answer["claims"]
    assert (flip["id"], flip["group"], flip["flipped"]) == ("C2", "depth 3", True)
    assert (flip["before"], flip["after"]) == ("supported", "refuted")

    shutil.rmtree(both[1])
    write_results(both[1] / "x", axes=AXES, seeds=2)
    configure(both[1] / "x", claims=[CLAIM])
    code, answer = told(*both)
    assert code == 0
    assert {(one["before"], one["after"]) for one in answer["claims"]} == {("supported", "inconclusive")}
    assert "fewer than 3 shared seeds" in command(*both)[1]


def test_cells_match_by_what_one_sweeps_and_the_other_fixes(both):
    shutil.rmtree(both[1])
    write_results(both[1] / "x", axes={key: AXES[key] for key in ("model.norm", "optimizer.lr")})
    _, answer = told(*both)  # the other one's depth is 3, fixed
    assert {one["cell"].split(", learning")[0] for one in answer["cells"]} == {
        "norm none, depth 3",
        "batchnorm, depth 3",
    }
    assert answer["not_compared"] == ["x: model.depth: 5 only in A"]


def test_settings_that_differ_are_named_and_can_be_ignored(both):
    configure(both[1] / "x", optimizer={"name": "sgd", "lr": 0.1, "momentum": 0.9}, title="other")
    configure(both[0] / "x", optimizer={"name": "sgd", "lr": 0.1, "momentum": 0.0})
    code, text = command(*both)
    assert code == 2
    assert "optimizer.momentum: 0.0 and 0.9" in text
    assert "title" not in text
    assert told(*both, "--ignore", "optimizer.momentum")[0] == 0


def test_experiments_of_one_side_and_folders_without_records_are_told(both, tmp_path):
    shutil.copytree(both[0] / "x", both[0] / "y")
    code, answer = told(*both)
    assert code == 0
    assert answer["not_compared"] == [f"y: only in {both[0]}"]
    assert command(both[0], tmp_path / "nothing")[0] == 2
    shutil.rmtree(both[0] / "x")
    code, text = command(*both)
    assert code == 2
    assert "y: only in" in text
    assert "x: only in" in text


def test_only_runs_and_config_are_read(both):
    for side in both:
        (side / "x" / "metrics.csv").unlink()
    assert compare(*both).differences


spans = st.lists(
    st.tuples(st.floats(-3, 3), st.floats(0, 2)).map(lambda pair: Span(pair[0], sum(pair), pair[0])),
    min_size=2,
    max_size=8,
)


@given(spans, st.floats(0, 0.5), st.floats(0.5, 0.9999))
@settings(max_examples=200, deadline=None)
def test_the_p_value_is_where_the_interval_leaves_the_margin(values, margin, level):
    p = p_beyond(values, margin)
    interval = span_interval(values, "t", level)
    beyond = interval.low > margin or interval.high < -margin
    if not math.isclose(p, 1 - level, rel_tol=1e-6) and max(interval.high - interval.low, 0) > 1e-9:
        assert beyond == (p < 1 - level)


def test_p_values_of_few_and_open_spans():
    assert p_beyond([Span(1, 1, 1)]) == 1
    assert p_beyond([Span(1, 1, 1)] * 3) == 0
    assert p_beyond([Span(-math.inf, 1, 0), Span(1, 1, 1), Span(1, 1, 1)]) == 1
    assert p_beyond([Span(1, math.inf, 2), Span(1.1, math.inf, 2), Span(1.2, 3, 2)]) < 0.01


def test_holm_stops_at_the_first_that_fails():
    assert list(map(holds, holm([0.03, 0.001, 0.02]))) == [True, True, True]
    assert list(map(holds, holm([0.04, 0.001, 0.03]))) == [False, True, False]
    assert holm([]) == []
