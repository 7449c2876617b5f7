"""A crashed run is named in its cell of every table, figure and reason, and is never a missing rate."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from helpers.results import claim, rate_runs, run, write

from normbench.analysis.judge import judge
from normbench.analysis.summary import lost_at_once, summary_rows, summary_table
from normbench.analysis.tables import load_tables
from normbench.analysis.variants import best_rates, edges
from normbench.analysis.verify import verify
from normbench.measures.claim import Claim
from normbench.plots import compute, draw

RATES = [0.01, 0.1, 1, 10]
BN, PLAIN = {"model.norm": "batchnorm"}, {"model.norm": "none"}
ALL_FIGURES = ("rate", "heatmap", "best_vs_equal", "largest_rate", "steps_to_target", "convergence", "gap")


def tables_of(folder, bn, plain="TTTD", seeds=5, rates=RATES, claims=(), diverged_at=7):
    """Write runs whose outcomes are given as one text for each seed, or one for all."""
    runs = []
    for cell, outcomes in ((BN, bn), (PLAIN, plain)):
        each = [outcomes] * seeds if isinstance(outcomes, str) else outcomes
        for seed, one in enumerate(each):
            for made in rate_runs(cell, seed, rates, one):
                if made["outcome"] == "trains":
                    rate = made["cell"]["optimizer.lr"]
                    score = 0.9 - 0.1 * abs(np.log10(rate)) + 0.01 * seed
                    curve = {0: 0.1, 500: score, 1000: score}
                    made.update(final_test_accuracy=score, final_train_accuracy=score, curve=curve)
                if made["outcome"] == "diverged":
                    made["diverged_at_step"] = diverged_at
                runs.append(made)
    write(folder, runs, claims)
    return load_tables(folder)


def text_of(table):
    from rich.console import Console

    console = Console(width=200, file=io.StringIO())
    console.print(table)
    return " ".join(console.file.getvalue().split())


def test_a_crashed_rate_ends_the_block_instead_of_widening_the_gap(tmp_path):
    tables = tables_of(tmp_path, "TTCD")
    assert set(tables.runs["outcome"]) == {"trains", "crashed", "diverged"}
    for edge in edges(tables.runs, ("model.norm",))[0].values():
        assert (edge.top, edge.next) == (0.1, 1.0)
    tables = tables_of(
        tmp_path, "TTTC"
    )  # the case of the issue: it is no layer that trains up to the last rate
    for edge in edges(tables.runs, ("model.norm",))[0].values():
        assert (edge.top, edge.next) == (1.0, 10.0)
    assert judged(tables, "max_stable_lr", {"ratio_at_least": 1}).estimate == pytest.approx(1.0)


def judged(tables, measure, expect, **more):
    (one,) = judge(Claim.model_validate(claim(measure, expect=expect, **more)), tables)
    return one


def test_the_summary_names_crashes_in_the_cells_of_their_variant(tmp_path):
    tables = tables_of(tmp_path, ["TTTD", "TTCD", "TTCC", "TTTD", "TTTD"])
    bn, plain = summary_rows(tables)
    assert (bn["crashes"], plain["crashes"]) == ("crashed 3 of 20", "")
    assert bn["runs"] == 20
    assert bn["pending"] == 0
    assert bn["crashed"]["estimate"] == pytest.approx(3 / 20)
    assert sum(bn[word]["estimate"] for word in ("trains", "stuck", "diverged", "crashed")) == pytest.approx(
        1
    )
    assert bn["largest_rate"]["n"] == 5
    text = text_of(summary_table(tables, 200))
    assert "(crashed 3 of 20)" in text
    assert "A rate whose run crashed counts as one that does not train" in text
    json.dumps([bn, plain])
    for width in (80, 100, 200):
        summary_table(tables, width)
    free = text_of(summary_table(tables_of(tmp_path, "TTTD"), 200))
    assert "crashed" not in free


def test_the_best_rate_is_not_one_at_which_other_seeds_crashed(tmp_path):
    tables = tables_of(tmp_path, ["TTTD", "TTCD", "TTCD", "TTTD", "TTTD"])
    best = best_rates(tables.runs, ("model.norm",)).set_index("group")["rate"]
    assert best[0] == 0.1  # 1 has the best mean of those that are left
    assert best[1] == 1.0


def test_a_score_at_a_rate_with_crashes_is_the_mean_of_the_others_and_says_so(tmp_path):
    tables = tables_of(tmp_path, ["T", "T", "C", "T", "T"], "T", rates=[0.1])
    bn, _ = summary_rows(tables)
    assert bn["best"]["crashes"] == "crashed 1 of 5"
    assert bn["best"]["n"] == 4
    assert bn["best"]["estimate"] == pytest.approx(0.8 + 0.01 * (0 + 1 + 3 + 4) / 4)
    assert "(crashed 1 of 5)" in text_of(summary_table(tables, 200))


def test_a_variant_of_which_all_runs_crashed_has_cells_that_say_so(tmp_path):
    tables = tables_of(tmp_path, "CCCC")
    bn, _ = summary_rows(tables)
    assert bn["trains"]["estimate"] == 0
    assert "best" not in bn
    text = text_of(summary_table(tables, 200))
    assert "at no rate (crashed 20 of 20)" in text
    assert "- (crashed 20 of 20)" in text


def test_a_claim_that_rests_on_a_seed_with_a_crashed_run_says_so(tmp_path):
    tables = tables_of(tmp_path, ["TTTD", "TTCD", "TTTD", "TTCD", "TTTD"])
    one = judged(tables, "max_stable_lr", {"ratio_at_most": 3})
    assert "crashed 2 of 20 runs, seeds 1, 3 (of: batchnorm)" in one.reason
    assert one.n == 5
    share = judged(tables, "share_that_trains", {"difference_at_most": 1})
    assert share.estimate == pytest.approx(-2 / 20)
    assert "crashed 2 of 20 runs" in share.reason
    assert "crashed" not in judged(tables_of(tmp_path, "TTTD"), "max_stable_lr", {"ratio_at_most": 3}).reason


def test_a_run_that_crashed_has_no_score_and_decides_nothing(tmp_path):
    tables = tables_of(tmp_path, ["T", "T", "C", "T", "T"], "T", rates=[0.1])
    for measure in ("final_accuracy", "best_accuracy", {"name": "steps_to_target", "target": 0.5}):
        expect = {"ratio_at_most": 100} if isinstance(measure, dict) else {"difference_at_least": -1}
        one = judged(tables, measure, expect)
        assert one.verdict == "inconclusive"
        assert "1 of 5 seeds have no value in the records (of: batchnorm)" in one.reason
        assert "crashed 1 of 5 runs, seed 2" in one.reason


def test_rows_that_a_crashed_run_left_are_not_its_score(tmp_path):
    runs = [run(cell, seed, "T", curve={0: 0.1, 1000: 0.9}) for cell in (BN, PLAIN) for seed in range(5)]
    runs[2] = run(BN, 2, "C", curve={0: 0.1, 500: 0.9})
    write(tmp_path, runs)
    one = judged(load_tables(tmp_path), {"name": "steps_to_target", "target": 0.8}, {"ratio_at_most": 3})
    assert "1 of 5 seeds have no value" in one.reason


def test_verify_says_what_would_train_crashed_runs_again(tmp_path):
    one = claim("max_stable_lr", expect={"ratio_at_least": 1})
    tables_of(tmp_path, ["TTTD", "TTCD", "TTTD", "TTTD", "TTTD"], claims=[one])
    (text,) = [text for text in verify(tmp_path, write=False).missing if "runs crashed" in text]
    assert "1 of 40 runs crashed and count as runs that do not train" in text
    assert "--retry crashed" in text


def test_a_group_that_is_lost_on_its_first_batch_is_named(tmp_path):
    tables = tables_of(tmp_path, "DDDD", diverged_at=1)
    (text,) = lost_at_once(tables)
    assert text.startswith("batchnorm: the loss is not finite on the first batch, before any update")
    assert "in all 20 runs" in text
    reason = judged(tables, "max_stable_lr", {"ratio_at_least": 3}).reason
    assert "the loss is not finite on the first batch, before any update (of: batchnorm)" in reason
    assert lost_at_once(tables_of(tmp_path, "DDDD", diverged_at=2)) == []
    assert lost_at_once(tables_of(tmp_path, "TDDD")) == []


def frames(tables, name):
    return [chart for _, chart in compute(tables, [name])]


def test_figures_count_and_name_crashes(tmp_path):
    tables = tables_of(tmp_path, ["TTTC", "TTCC", "TTTC", "TTCC", "TTTC"])
    for name in ("rate", "heatmap", "best_vs_equal"):
        (chart, *_) = frames(tables, name)
        frame = chart.frame[(chart.frame["color"] == 0) | (name == "heatmap")]
        assert frame["crashed"].sum() > 0
        assert (frame["trains"] + frame["stuck"] + frame["diverged"] + frame["crashed"] == frame["n"]).all()
        assert any("7 crashed runs are left out of means" in text for text in chart.warnings), chart.warnings
    (rate,) = frames(tables, "rate")
    assert "crashed" in rate.signs
    assert "crashed" in rate.grid.places[0].y.strip.text
    point = rate.frame[
        (rate.frame["color"] == 0) & (rate.frame["x"] == 1.0) & (rate.frame["block"] == 0)
    ].iloc[0]
    assert (point["crashed"], point["trains"], point["n"]) == (2, 3, 5)
    assert point["mean"] == pytest.approx(0.9 + 0.01 * (0 + 2 + 4) / 3)
    (largest,) = frames(tables, "largest_rate")
    crashes = largest.frame[largest.frame["mark"] == "crash"]
    assert sorted(crashes["mean"]) == [1.0] * 2 + [10.0] * 5
    assert "crash" in largest.signs
    assert "open" not in set(largest.frame.loc[largest.frame["color"] == 0, "mark"])


def test_a_seed_that_crashed_at_the_best_rate_did_not_miss_the_target(tmp_path):
    tables = tables_of(tmp_path, ["T", "T", "C", "T", "T"], "T", rates=[0.1])
    (chart,) = frames(tables, "steps_to_target")
    marks = chart.frame["mark"].tolist()
    assert (marks.count("crash"), marks.count("lost")) == (1, 0)
    summary = chart.frame[chart.frame["mark"] == "summary"]
    assert (summary["mean"] == 500).all()


@pytest.mark.parametrize("bn", ["TTTC", "CCCC", ["TTCD", "TTDC", "TCCC", "CCCC", "TTTT"]])
def test_every_figure_draws_crashes(tmp_path, bn):
    for plain in ("TTTD", "CCCC"):
        tables = tables_of(tmp_path, bn, plain)
        drawn = dict(draw(tables))
        assert {"rate", "heatmap", "largest_rate"} <= set(drawn)
