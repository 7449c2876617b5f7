"""The claims of an experiment as cards: what is said, what was measured, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import yaml
from markupsafe import Markup

from normbench.analysis.comparison import shown
from normbench.analysis.judge import Verdict, judge_all
from normbench.analysis.tables import Tables
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
    )
