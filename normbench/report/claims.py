"""The claims of an experiment as cards: what is said, what was measured, and how sure that is."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import yaml
from markupsafe import Markup

from normbench.analysis.comparison import shown
from normbench.analysis.judge import Verdict, judge_all
from normbench.analysis.tables import Tables
from normbench.analysis.verify import corrected_together
from normbench.measures.claim import Claim
from normbench.plots.figures.claims import Claims
from normbench.plots.view import Request
from normbench.report.canvas import Size
from normbench.report.figure import panel_svg
from normbench.report.shared import Shared


@dataclass(frozen=True)
class Line:
    """One verdict of a claim, in words, with its picture."""

    verdict: str
    group: str
    estimate: str
    interval: str
    n: int
    reason: str
    picture: Markup
    judged: Verdict


@dataclass
class Card:
    """One claim with its verdicts."""

    id: str
    statement: str
    source: str
    reports: str
    measure: str
    expected: str
    config: str
    lines: list[Line] = field(default_factory=list)


@dataclass(frozen=True)
class Primary:
    """The verdict that stands for an experiment in a book.

    Attributes:
        anchor: of its chapter.
        card: its claim.
        line: the verdict by itself.
        word: the verdict corrected for all primary ones of the book.
        p: the corrected p-value in words.
    """

    anchor: str
    card: Card
    line: Line
    word: str
    p: str


def primaries(chapters: Sequence[tuple[str, Sequence[Card]]]) -> list[Primary]:
    """Return the primary verdicts of a book, corrected together, in the order of their claims' ids.

    Args:
        chapters: the anchor of each chapter, and its cards.
    """
    found = [(anchor, card, line) for anchor, some in chapters for card in some for line in card.lines]
    found = [one for one in found if one[2].judged.claim.primary]
    corrected = corrected_together([line.judged for _, _, line in found])
    made = [
        Primary(anchor, card, line, one.in_book or "inconclusive", f"{one.p_book:.2g}")
        for (anchor, card, line), one in zip(found, corrected, strict=True)
    ]
    return sorted(made, key=lambda one: in_order(one.card.id))


def in_order(claim_id: str) -> tuple[object, ...]:
    """Return a key that sorts C2 before C10."""
    parts = re.split(r"(\d+)", claim_id)
    return tuple(int(part) if place % 2 else part for place, part in enumerate(parts))


def cards(tables: Tables, shared: Shared) -> list[Card]:
    """Return a card for each claim of the config, in its order."""
    if not tables.config.get("claims"):
        return []
    kind = Claims()
    (chart,) = kind.compute(tables, Request())
    found: dict[str, Card] = {}
    judged = list(zip(judge_all(tables), chart.grid.places, strict=True))
    labels = {verdict.id: place.x.label for verdict, place in judged}  # the last one of a claim has it
    size = Size(380.0, 32.0)
    for verdict, place in judged:
        claim = verdict.claim
        y = replace(place.y, names=("",))  # the card names the row
        place = replace(place, x=replace(place.x, label=labels[verdict.id]), y=y)
        picture = panel_svg(kind, chart, place, shared, lambda _: None, size=size)
        card = found.setdefault(verdict.id, _card(claim, verdict))
        card.lines.append(_line(verdict, picture))
    return list(found.values())


def _card(claim: Claim, verdict: Verdict) -> Card:
    plain: dict[str, Any] = claim.model_dump(mode="json", exclude_unset=True)
    text = yaml.safe_dump([plain], sort_keys=False, allow_unicode=True, width=88)
    return Card(
        verdict.id,
        claim.statement,
        claim.source or "not named",
        claim.reports or "not stated in the config",
        verdict.measure.label,
        claim.expected,
        text,
    )


def _line(one: Verdict, picture: Markup) -> Line:
    estimate, low, high = (shown(value, one.claim) for value in (one.estimate, one.ci_low, one.ci_high))
    known = not math.isnan(one.ci_low)
    return Line(
        one.verdict,
        one.group,
        "unknown" if math.isnan(one.estimate) and not known else estimate,
        f"{low} to {high}" if known else "no interval",
        one.n,
        one.reason,
        picture,
        one,
    )
