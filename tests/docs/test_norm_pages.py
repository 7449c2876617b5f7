"""docs/norms/: each normalization has its equation, its options and the verdicts that are about it."""

from __future__ import annotations

import math

import pytest
from helpers.docs_script import DOCS, docs_script

from normbench.analysis.judge import Verdict
from normbench.measures.claim import Claim
from normbench.norms import NORMS


@pytest.fixture(scope="module")
def script():
    with docs_script("norm_pages") as module:
        yield module


def verdict(at=None, **about):
    plain = {
        "id": "C9-x",
        "statement": "Yes.",
        "measure": "final_accuracy",
        "expect": {"difference_at_least": 0},
    }
    claim = Claim.model_validate({**plain, **about})
    told = {"verdict": "supported", "alone": "supported", "reason": "why", "steps": "9 steps"}
    numbers = {"estimate": 0.1, "ci_low": 0.05, "ci_high": 0.2, "n": 6, "p_book": math.nan}
    return Verdict(
        id="C9-x", statement="Yes.", claim=claim, measure=claim.measure, at=at or {}, **told, **numbers
    )


@pytest.mark.parametrize("name", NORMS)
def test_each_page_has_the_equation_the_paper_and_the_options(name):
    page = (DOCS / "norms" / f"{name}.md").read_text(encoding="utf-8")
    cls = NORMS[name]
    equation = cls.summary().partition(": ")[2]
    assert " = " in equation
    assert f"```text\n{equation}\n```" in page
    assert f"norm: {name}" in page
    if "arXiv:" in cls.paper:
        assert "](https://arxiv.org/abs/" in page
    missing = [key for key in cls.model_fields if key != "name" and f"\n| `{key}` |" not in page]
    assert missing == []


def test_there_is_no_page_without_a_normalization():
    assert {path.stem for path in (DOCS / "norms").glob("*.md")} == {*NORMS, "README"}


@pytest.mark.parametrize(
    ("one", "config", "of", "against"),
    [
        (verdict(of={"model.norm": "bn"}, against={"model.norm": "none"}), {}, ["batchnorm"], ["none"]),
        (
            verdict(
                at={"model.norm": "layernorm"},
                of={"model.norm": ["layernorm", "batchnorm"]},
                against={"model.norm": "none"},
                for_each=["model.norm"],
            ),
            {},
            ["layernorm"],
            ["none"],
        ),
        (
            verdict(of={"model.norm.eps": 1}, against={"model.norm.eps": 2}),
            {"model": {"norm": {"name": "batchnorm"}}},
            ["batchnorm"],
            ["batchnorm"],
        ),
        (
            verdict(of={"model.depth": 1}, against={"model.depth": 2}),
            {"model": {"norm": "batchnorm"}, "sweep": {"zip": [{"model.norm": ["none", "layernorm"]}]}},
            [],
            [],
        ),
        (verdict(of={"model.norm": "none"}, against={"value": 0.5}), {}, ["none"], ["none"]),
    ],
)
def test_the_two_sides_of_a_verdict(script, one, config, of, against):
    assert script.sides(one, config) == (frozenset(of), frozenset(against))


def test_a_verdict_is_on_the_pages_of_both_sides_and_no_other(script):
    one = script.Told.by(verdict(of={"model.norm": "batchnorm"}, against={"model.norm": "none"}), "c09_x", {})
    made = script.pages([one], lambda claim: f"claims/{claim}.md")
    number = "+10 points (+5 to +20, n = 6; [supported](../claims/C9-x.md))"
    row = f"| Yes. | [{{0}}]({{0}}.md) | {number} | c09_x (`c09_x`) |"
    assert row.format("none") in made[script.PAGES / "batchnorm.md"]
    assert row.format("batchnorm") in made[script.PAGES / "none.md"]
    assert "The book has no verdict that names it yet." in made[script.PAGES / "layernorm.md"]
    assert "C9-x" not in made[script.PAGES / "layernorm.md"]
