"""The book of claims: what each config must say, and that its results and verdicts belong to it."""

from __future__ import annotations

import csv
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from normbench.analysis.verify import verify, write_claims
from normbench.config import load_config, parse_config
from normbench.config.experiment import Experiment
from normbench.measures.claim import Claim
from normbench.stats.corrections import benjamini_hochberg, holds

ROOT = Path(__file__).parents[2]
CONFIGS, RESULTS = ROOT / "configs" / "claims", ROOT / "results" / "claims"
NAMES = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
TRAINED = sorted(path.parent.name for path in RESULTS.glob("*/claims.csv"))
OF_THE_BOOK = ("p_book", "book")  # the columns that depend on the other experiments
ALL, DECIDED = 31, 26
MEND = "run: normbench verify results/claims"
# Primary claims with a group that is expected not to train, so that it cannot be a control: id -> why.
AT_THE_EDGE: dict[str, str] = {
    "C14": "with the statistics of one image nothing is left of it, so no rate is its best",
    "C18": "it is the smallest rate of layer normalization, which wins; a smaller one could only raise it",
}
MAY_FAIL: dict[str, str] = {
    "C7": "that the plain net does not train from most of the weights is the claim",
    "C14": "that a batch of one image gives nothing is the claim",
    "C19": "that shared statistics lose the accuracy is the claim",
    "C24": "that the plain net of 50 layers does not train is the claim",
}


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def primaries() -> list[dict[str, str]]:
    """Return the committed primary verdicts of all results."""
    return [row for name in TRAINED for row in rows_of(RESULTS / name / "claims.csv") if row.get("primary")]


def literature(claim_id: str) -> str:
    return claim_id.split("-")[0]


def is_of_training(claim: Claim) -> bool:
    """Return whether the measure depends on how well the nets train: not a cost, nor a probe at step 0."""
    measure: Any = claim.measure
    if measure.name == "probe":
        return measure.probe != "cost" and measure.step != 0
    return measure.name != "seconds_per_step"


def without_control(claim: Claim) -> list[str]:
    """Return the sides of the comparison that no control covers."""
    sides = {"of": claim.of}
    if claim.against is not None and claim.constant is None:
        sides["against"] = claim.against
    return [name for name, wanted in sides.items() if wanted not in [has for _, has in claim.controls]]


def complaints(experiment: Experiment) -> list[str]:
    """Return what a config of the book lacks. One without a primary claim is a side experiment."""
    primary = [claim for claim in experiment.claims if claim.primary]
    found = [] if experiment.title else ["title is missing"]
    found += [] if experiment.claims else ["it has no claims"]
    found += [f"{len(primary)} claims are primary; at most one stands for a file"] * (len(primary) > 1)
    for claim in primary:
        found += [f"{claim.id}: {key} is missing" for key in ("source", "reports") if not getattr(claim, key)]
        if claim.family != "primary":
            found.append(f"{claim.id}: family is {claim.family}; a primary claim has 'family: primary'")
        open_sides = without_control(claim) if is_of_training(claim) else []
        if open_sides and claim.id not in MAY_FAIL:
            found.append(
                f"{claim.id}: no control for {' and '.join(open_sides)}; add control and control_at_least"
            )
        if not open_sides and claim.id in MAY_FAIL:
            found.append(f"{claim.id}: all groups have a control; take it out of MAY_FAIL")
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_config_says_what_the_book_needs(name):
    experiment = load_config(CONFIGS / f"{name}.yaml")
    assert experiment.name == name
    assert complaints(experiment) == []


def test_no_claim_of_the_literature_has_two_primary_verdicts():
    claims = [claim for name in NAMES for claim in load_config(CONFIGS / f"{name}.yaml").claims]
    counts = Counter(literature(claim.id) for claim in claims if claim.primary)
    assert not [claim for claim, count in counts.items() if count > 1]


SMALL = """\
name: x
title: X
seeds: 3
data: {name: digits, batch_size: 20}
model: {name: mlp, depth: 2, width: 8}
optimizer: {name: sgd}
train: {steps: 20, eval_every: 10}
probes: [{name: gradients, steps: [0, 20]}, cost]
sweep: {model.norm: [none, batchnorm], model.depth: [1, 2], optimizer.lr: [0.1, 1]}
claims:
  - id: C1
    statement: Yes.
    source: X
    reports: Y
    family: primary
    primary: true
    measure: final_accuracy
    of: {model.norm: batchnorm}
    against: {model.norm: none}
    expect: {difference_at_least: 0}
    control: [of, against]
    control_at_least: 0.9
"""
BARE = SMALL.replace("    control: [of, against]\n    control_at_least: 0.9\n", "")
PROBE = "measure: {name: probe, probe: gradients, quantity: gradients.norm, %s}"
CONTRAST = "    contrast: {of: {model.depth: 1}, against: {model.depth: 2}}\n"
FAMILY = "C1: family is a; a primary claim has 'family: primary'"
OPEN = "C1: no control for of and against; add control and control_at_least"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (SMALL, []),
        (SMALL.replace("title: X\n", ""), ["title is missing"]),
        (SMALL.replace("    reports: Y\n", ""), ["C1: reports is missing"]),
        (SMALL.replace("family: primary", "family: a"), [FAMILY]),
        (BARE, [OPEN]),
        (BARE.replace("    primary: true\n", ""), []),
        (SMALL.replace("[of, against]", "[of]"), [OPEN.replace("of and ", "")]),
        (SMALL.replace("[of, against]", "[of, {model.norm: none}]"), []),
        (SMALL.replace("    expect", CONTRAST + "    expect"), []),
        (BARE.replace("    expect", CONTRAST + "    expect"), [OPEN]),
        (BARE.replace("measure: final_accuracy", PROBE % "step: 20"), [OPEN]),
        (BARE.replace("measure: final_accuracy", PROBE % "step: 0"), []),
        (BARE.replace("measure: final_accuracy", "measure: seconds_per_step"), []),
    ],
)  # fmt: skip
def test_what_a_config_lacks_is_found(text, found):
    assert complaints(parse_config(text)) == found


def test_an_exception_that_is_not_needed_is_found(monkeypatch):
    monkeypatch.setitem(MAY_FAIL, "C1", "a reason")
    assert complaints(parse_config(BARE)) == []
    assert complaints(parse_config(SMALL)) == ["C1: all groups have a control; take it out of MAY_FAIL"]


@pytest.mark.parametrize("name", TRAINED)
def test_the_results_are_those_of_the_config(name):
    text = (RESULTS / name / "config.yaml").read_text(encoding="utf-8")
    found, config = parse_config(text), load_config(CONFIGS / f"{name}.yaml")
    assert {**found.raw, "seeds": None} == {**config.raw, "seeds": None}
    own = len(config.seeds)
    assert found.seeds[:own] == config.seeds  # `decide` adds some
    assert len(found.seeds) == own or config.decide is not None


def test_no_primary_verdict_rests_on_a_rate_at_the_edge_of_the_grid():
    edges = {row["id"] for row in primaries() if "at the grid's edge" in row["reason"]}
    assert AT_THE_EDGE.keys() <= {row["id"] for row in primaries()} or len(primaries()) < ALL
    edges -= AT_THE_EDGE.keys()
    assert not edges, "better rates may lie beyond: add rates to the sweeps of these claims"


def differences(found: dict[str, str], committed: dict[str, str]) -> list[str]:
    """Return in which columns two verdicts differ: numbers by more than 1e-6 of their size, and words."""
    if list(found) != list(committed):
        return ["columns"]
    return [key for key in found if key not in OF_THE_BOOK and not _equal(found[key], committed[key])]


def _equal(one: str, other: str) -> bool:
    try:
        return math.isclose(float(one), float(other), rel_tol=1e-6, abs_tol=1e-12)
    except ValueError:
        return one == other


def test_different_verdicts_are_told_apart():
    assert differences({"id": "C1", "verdict": "supported"}, {"id": "C1"}) == ["columns"]
    row = {"verdict": "supported", "estimate": "1.5", "ci_low": "", "p_book": "0.1", "book": ""}
    assert differences({**row, "estimate": "1.5000000001", "p_book": "0.2"}, row) == []
    assert differences({**row, "estimate": "1.50001", "ci_low": "1", "verdict": "refuted"}, row) == [
        "verdict",
        "estimate",
        "ci_low",
    ]


@pytest.mark.parametrize("name", TRAINED)
def test_verify_gives_the_committed_verdicts(name, tmp_path):
    write_claims(replace(verify(RESULTS / name, write=False), folder=tmp_path))
    found, committed = rows_of(tmp_path / "claims.csv"), rows_of(RESULTS / name / "claims.csv")
    assert [row["id"] for row in found] == [row["id"] for row in committed], MEND
    for one, other in zip(found, committed, strict=True):
        assert differences(one, other) == [], f"{one['id']}: {MEND}"


def test_the_committed_primary_verdicts_are_corrected_together():
    rows = primaries()
    corrected = benjamini_hochberg([float(row["p"] or 1) for row in rows])
    for row, p in zip(rows, corrected, strict=True):
        assert math.isclose(float(row["p_book"]), p, rel_tol=1e-6), f"{row['id']}: {MEND}"
        assert row["book"] != "inconclusive" or row["verdict"] == "inconclusive" or not holds(p), row["id"]


def test_most_primary_verdicts_are_decided():
    rows = primaries()
    decided = sum(row["book"] in ("supported", "refuted") for row in rows)
    if len(rows) < ALL:
        pytest.skip(f"{len(rows)} of {ALL} claims have a primary verdict, {decided} of them decided")
    assert len({literature(row["id"]) for row in rows}) == len(rows) == ALL
    assert decided >= DECIDED, [row["id"] for row in rows if row["book"] == "inconclusive"]
