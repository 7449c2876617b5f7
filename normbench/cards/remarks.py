"""What a reader must know about a section: which rates it took, and whether its times are steady."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from normbench.analysis.variants import number, refining
from normbench.names import RATE

if TYPE_CHECKING:
    from normbench.analysis.tables import Tables
    from normbench.cards.card import Card

STEADY = 2.0  # times of seeds whose largest is at most this many times the smallest
_FEW = ("no", "one", "two", "three", "four", "five", "six")


def remarks(card: Card, section: str) -> list[str]:
    """Return the remarks on a section, each a sentence."""
    return [_rates_text(card, section), *_unsteady(card, section)]


def rates_of(tables: Tables) -> tuple[float, ...]:
    """Return the rates at which all runs of a section were trained, without a search's refinements."""
    runs = tables.runs[~refining(tables.runs)]
    return tuple(sorted({float(rate) for rate in runs[RATE]})) if RATE in runs else ()


def _rates_text(card: Card, section: str) -> str:
    rates = card.rates[section] or (card.prepared.setup.base["optimizer"]["lr"],)
    if len(rates) == 1:
        return f"It takes one learning rate: {number(rates[0])}."
    edge = card.prepared.sections[section].rates == "edge"
    searched = " A search refines the largest stable rate." if edge else ""
    return f"Its best rate is the best of {_listed(rates)}.{searched}"


def _listed(rates: Sequence[float]) -> str:
    if len(rates) >= len(_FEW):
        return f"{len(rates)} rates from {number(rates[0])} to {number(rates[-1])}"
    names = [number(rate) for rate in rates]
    return f"{_FEW[len(rates)]} rates: {', '.join(names[:-1])} and {names[-1]}"


def _unsteady(card: Card, section: str) -> list[str]:
    """Return that times vary so much that the machine was busy, and how to measure them again."""
    rows = [row for row in card.rows if row.section == section and row.unit == "s"]
    spreads = {e.norm: e.spread for row in rows for e in row.entries if e.spread > STEADY}
    if not card.prepared.sections[section].alone or not spreads:
        return []
    norm, spread = max(spreads.items(), key=lambda one: one[1])
    return [
        f"The seconds of a step vary by up to {spread:.1f}x between seeds ({norm}): the machine was busy, "
        "so do not trust these times. The same command keeps them. To measure again on a quiet machine, "
        f"delete the folder {card.prepared.folder / section} first."
    ]
