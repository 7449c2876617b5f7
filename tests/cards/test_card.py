"""The numbers of a card: those of the records, with ranks that respect their uncertainty."""

import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers.scorecard import TIMES
from scipy.stats import t

from normbench.cards.remarks import remarks
from normbench.cards.sections import SECTIONS


def runs_of(card, section):
    return pd.read_csv(card.prepared.folder / section / "runs.csv", keep_default_na=False, na_values=[""])


def row_of(card, section, name, setting=""):
    (row,) = [r for r in card.rows if (r.section, r.name, r.setting) == (section, name, setting)]
    return row


def test_a_layer_that_does_nothing_agrees_with_none(cards):
    card = cards["identity"]
    rows = [row for row in card.rows if row.name not in TIMES]
    assert {row.section for row in rows} == set(SECTIONS)
    for row in rows:
        own, none = row.of("identity"), row.of("none")
        np.testing.assert_equal(vars(own.value), vars(none.value), err_msg=row.where)
        assert (own.best, own.worst) == (none.best, none.worst)
        assert own.best is None or (own.best, own.worst) == (1, 2)
    assert all(one.word == "open" for one in card.comparisons if one.row.name not in TIMES)
    assert len(card.comparisons) == sum(row.better is not None for row in card.rows)


@pytest.mark.parametrize("norm", ["wrong_axis", "tiny"])
def test_a_broken_layer_is_worse_and_the_card_says_where(cards, norm):
    card = cards[norm]
    worse = {row.where: comparisons for row, comparisons in card.where("worse")}
    accuracy = worse["depth 2: final test accuracy at the best rate"]
    assert {one.other for one in accuracy} == set(card.prepared.norms[1:])
    for one in accuracy:
        assert one.difference.high < -0.3
        assert one.holds
    better = [row.where for row, _ in card.where("better") if row.name not in TIMES]
    assert better == []
    assert [row.name for row, _ in card.lacking] == ["sensitivity"]
    assert all("train at no rate" in why for _, why in card.lacking)


def test_equal_layers_share_a_rank_and_the_broken_one_comes_last(cards):
    row = row_of(cards["wrong_axis"], "rates", "accuracy", "depth 2")
    ranks = {entry.norm: (entry.best, entry.worst) for entry in row.entries}
    assert ranks == {"wrong_axis": (3, 3), "none": (1, 2), "identity": (1, 2)}
    steps = row_of(cards["wrong_axis"], "rates", "steps", "depth 2")  # three seeds have no interval
    assert {(entry.best, entry.worst) for entry in steps.entries} == {(1, 3)}


def test_values_and_intervals_are_those_of_the_records(cards):
    card = cards["identity"]
    runs = runs_of(card, "rates")
    places = 2 * np.log10(
        runs["optimizer.lr"]
    )  # the scan has half decades, what refines the edge lies between
    scan = runs[(runs["model.norm"] == "none") & np.isclose(places, places.round())]
    assert scan["optimizer.lr"].nunique() == 11
    shares = scan.groupby("seed")["outcome"].apply(lambda found: (found == "trains").mean())
    value = row_of(card, "rates", "share", "depth 2").of("none").value
    assert value.estimate == pytest.approx(shares.mean())
    best = scan.groupby("optimizer.lr")["final_val_accuracy"].mean().idxmax()
    chosen = scan[scan["optimizer.lr"] == best]
    for name, numbers in {
        "accuracy": chosen["final_test_accuracy"],
        "gap": chosen["inference_train_accuracy"] - chosen["final_test_accuracy"],
        "inference": chosen["final_train_accuracy"] - chosen["inference_train_accuracy"],
    }.items():
        value = row_of(card, "rates", name, "depth 2").of("none").value
        half = t.ppf(0.975, 2) * numbers.std() / math.sqrt(3)
        ends = [numbers.mean(), numbers.mean() - half, numbers.mean() + half]
        assert [value.estimate, value.low, value.high] == pytest.approx(ends, rel=1e-6)
        assert value.n == 3


def test_a_comparison_is_paired_by_seed(cards):
    card = cards["wrong_axis"]
    runs = runs_of(card, "batches")
    runs = runs[runs["data.batch_size"] == 32]
    means = runs.groupby(["model.norm", "optimizer.lr"])["final_val_accuracy"].mean()
    at = {
        norm: runs[(runs["model.norm"] == norm) & (runs["optimizer.lr"] == means[norm].idxmax())]
        for norm in ("wrong_axis", "none")
    }
    numbers = {norm: found.set_index("seed")["final_test_accuracy"] for norm, found in at.items()}
    differences = numbers["wrong_axis"] - numbers["none"]
    (one,) = [
        one
        for one in card.comparisons
        if (one.row.section, one.row.setting, one.other) == ("batches", "batch size 32", "none")
    ]
    half = t.ppf(0.975, 2) * differences.std() / math.sqrt(3)
    found = [one.difference.estimate, one.difference.low, one.difference.high]
    mean = differences.mean()
    assert found == pytest.approx([mean, mean - half, mean + half], rel=1e-6)
    assert one.word == "worse"


def test_the_change_is_from_the_standard_setting(cards):
    rows = [row for row in cards["identity"].rows if row.section == "batches"]
    changes = {row.setting: row.of("none").change for row in rows}
    assert changes["batch size 32"] is None
    values = {row.setting: row.of("none").value.estimate for row in rows}
    expected = values["batch size 1"] - values["batch size 32"]
    assert changes["batch size 1"].estimate == pytest.approx(expected)


def test_equal_counts_have_the_p_value_1(cards):
    found = [c for c in cards["identity"].comparisons if c.row.name == "saved_bytes"]
    assert [(one.word, one.p_family, one.holds) for one in found] == [("open", 1.0, False)]


def test_equal_differences_of_what_is_sampled_keep_the_sign_test(cards):
    """Accuracies of few images can agree by chance, so their p-value is not the limit."""
    (one,) = [c for c in cards["tiny"].comparisons if c.row.name == "share"]
    assert one.p_family > 0


def test_remarks_name_the_rates_and_times_that_are_not_steady(cards):
    card = cards["identity"]
    assert remarks(card, "batches")[0] == "Its best rate is the best of four rates: 0.01, 0.1, 1 and 10."
    assert re.match(
        r"Its best rate is the best of \d+ rates from 0.001 to \d+\. A search", remarks(card, "rates")[0]
    )
    assert remarks(card, "cost")[0] == "It takes one learning rate: 0.1."
    rows = [row for row in card.rows if row.name == "step_seconds"]
    runs = runs_of(card, "cost")
    layers = pd.read_csv(card.prepared.folder / "cost" / "layers.csv").merge(runs, on="run_id")
    seconds = layers[layers["quantity"] == "cost.step_seconds"].groupby(["model.norm", "seed"])["value"].min()
    for entry in rows[0].entries:
        assert entry.spread == pytest.approx(seconds[entry.norm].max() / seconds[entry.norm].min(), rel=1e-6)
    for spread, said in ((1.9, 0), (2.5, 1)):
        entries = tuple(replace(entry, spread=spread) for entry in rows[0].entries)
        found = remarks(replace(card, rows=(replace(rows[0], entries=entries),)), "cost")
        assert len(found) == 1 + said
    assert "vary by up to 2.5x between seeds" in found[1]
    assert f"delete the folder {card.prepared.folder / 'cost'} first" in found[1]
