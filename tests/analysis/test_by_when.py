"""Records read earlier are those of a shorter training."""

import math

import pandas as pd
import pytest
from helpers.results import claim, run, write

from normbench import api
from normbench.analysis.by_when import read_at
from normbench.analysis.judge import judge_all
from normbench.analysis.tables import load_tables

CONFIG = """
name: {name}
seeds: 2
data: {{name: digits, train_size: 120, batch_size: 20}}
model: {{name: mlp, depth: 1, width: 16, norm: batchnorm}}
train: {{steps: {steps}, eval_every: {every}}}
probes: [{{name: weights, every: 4}}]
optimizer: {{name: sgd, momentum: 0.5}}
sweep: {{optimizer.lr: [0.001, 1.0, 1.0e+30]}}
"""


def trained(folder, steps, every=2):
    name = f"s{steps}_{every}"
    (folder / "c.yaml").write_text(CONFIG.format(name=name, steps=steps, every=every))
    api.run(folder / "c.yaml", results=folder, device="cpu", threads=1)
    return load_tables(folder / name)


def test_records_read_at_half_the_training_are_those_of_a_training_of_half_the_length(tmp_path):
    short, early = trained(tmp_path, 40), read_at(trained(tmp_path, 80), 0.5)
    assert set(short.runs["outcome"]) == {"trains", "stuck", "diverged"}
    same = ["seed", "optimizer.lr", "status", "outcome", "steps", "diverged_at_step"]
    pd.testing.assert_frame_equal(early.runs[same], short.runs[same], check_dtype=False)
    numbers = [name for name in short.runs if name.startswith(("final_", "best_"))]
    numbers.append("train_loss_last_tenth")
    pd.testing.assert_frame_equal(early.runs[numbers], short.runs[numbers], rtol=1e-5, check_dtype=False)
    for name in ("metrics", "layers"):
        ours, theirs = (getattr(tables, name).drop(columns="run_id") for tables in (early, short))
        pd.testing.assert_frame_equal(ours, theirs, check_dtype=False)  # ids have the steps in them
    assert read_at(short, 1) is short
    assert short.runs["inference_train_loss"].notna().any()
    assert early.runs["inference_train_loss"].isna().all()  # measured at the end alone


def test_a_run_that_diverges_later_has_not_diverged_yet(tmp_path):
    whole = trained(tmp_path, 40)
    diverges = whole.runs["outcome"] == "diverged"
    whole.runs.loc[diverges, "diverged_at_step"] = 21
    assert "diverged" not in set(read_at(whole, 0.5).runs["outcome"])
    whole.runs.loc[diverges, "diverged_at_step"] = 20
    assert set(read_at(whole, 0.5).runs.loc[diverges, "outcome"]) == {"diverged"}


def judged(folder, measure="final_accuracy", **more):
    """Return verdicts on nets of which one is better first, the other at the end; evaluated every 100."""
    runs = []
    for norm, curve in (("batchnorm", (0.1, 0.8, 0.85)), ("none", (0.1, 0.5, 0.95))):
        for seed in range(4):
            values = dict(
                zip((0, 300, 1000), (v + 0.001 * seed * (norm == "none") for v in curve), strict=True)
            )
            runs.append(run({"model.norm": norm}, seed, curve=values, final_test_accuracy=values[1000]))
    plain = claim(measure, expect={"difference_at_least": 0}, **more)
    tables = load_tables(write(folder, runs, [plain]))
    loss = tables.metrics["step"].map({0: math.nan, 300: 0.5, 1000: 0.1})
    tables.metrics["train_loss"] = loss
    return judge_all(tables, "none")


def test_a_verdict_may_change_when_it_is_read_earlier(tmp_path):
    first, last = judged(tmp_path, at_steps=[0.3, 1])
    assert (first.verdict, last.verdict) == ("supported", "refuted")
    assert first.estimate == pytest.approx(0.3, abs=0.01)
    assert (first.group, last.group) == ("after 0.3 of the steps", "after 1 of the steps")
    assert first.statement == "It is so. (after 0.3 of the steps)"
    assert (
        "within 0.3 of the training (read at step 300), where the losses of the last 100% of" in first.reason
    )
    assert last.reason.endswith("within 1,000 steps")


def test_between_evaluations_the_one_before_counts_and_before_the_first_nothing(tmp_path):
    between, before = judged(tmp_path, at_steps=[0.5, 0.2])
    assert (between.verdict, between.estimate) == ("supported", pytest.approx(0.3, abs=0.01))
    assert "read at step 300" in between.reason
    assert before.verdict == "inconclusive"
    assert "has a result" in before.reason


def test_without_curves_nothing_is_known_before_the_end(tmp_path):
    judged(tmp_path, at_steps=[0.5, 1])
    (tmp_path / "metrics.csv").unlink()
    early, end = judge_all(load_tables(tmp_path), "none")
    assert (early.verdict, end.verdict) == ("inconclusive", "refuted")
    assert early.reason.startswith("metrics.csv has no rows, so nothing is known before the end")
