"""The shipped card of batch normalization and the verdicts of the book agree where they ask the same."""

import csv
import json
from pathlib import Path

import pytest

RESULTS = Path(__file__).parents[2] / "results"
CARD = RESULTS / "scorecard_batchnorm_mnist" / "scorecard.json"
PAIRS = {  # row of the card at depth 3, other normalization -> experiment, claim, group, way round
    ("largest_rate", "none"): ("c02_mnist", "C2-mnist", "activation relu, depth 3", 1),
    ("largest_rate", "layernorm"): ("c02_norms_mnist", "C2-norms", "layernorm", -1),
    ("steps", "none"): ("c01_speed_mnist", "C1-bn", "activation relu", 1),
}


def interval(row) -> tuple[float, float, float]:
    return tuple(float(row[key]) for key in ("ci_low", "estimate", "ci_high"))


@pytest.mark.parametrize("pair", PAIRS)
def test_each_estimate_lies_in_the_interval_of_the_other(pair):
    name, other = pair
    card = json.loads(CARD.read_text(encoding="utf-8"))
    (mine,) = [
        interval(row)
        for row in card["comparisons"]
        if (row["setting"], row["name"], row["other"]) == ("depth 3", name, other)
    ]
    experiment, claim, group, way = PAIRS[pair]
    with (RESULTS / "claims" / experiment / "claims.csv").open(encoding="utf-8") as file:
        (row,) = [one for one in csv.DictReader(file) if (one["id"], one["group"]) == (claim, group)]
    theirs = tuple(sorted(value**way for value in interval(row)))
    assert mine[0] <= theirs[1] <= mine[2]
    assert theirs[0] <= mine[1] <= theirs[2]
