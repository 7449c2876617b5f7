"""Results as tables of text, for a paper: the verdicts of an experiment, or the summary of its variants."""

from __future__ import annotations

import math
from dataclasses import dataclass

from normbench.analysis.comparison import shown
from normbench.analysis.judge import Verdict
from normbench.analysis.summary import summary_text
from normbench.analysis.tables import Tables
from normbench.analysis.verify import Verified


@dataclass(frozen=True)
class TextTable:
    """A table whose cells are text.

    Attributes:
        stem: what the table shows in one word, for the names of files: `verdicts`, `summary`.
        title: one line.
        heads: of the columns.
        rows: a text for each column.
        note: what a reader must know; it may be empty.
        right: how many of the last columns are aligned to the right.
    """

    stem: str
    title: str
    heads: list[str]
    rows: list[list[str]]
    note: str
    right: int


def verdict_table(one: Verified, title: str) -> TextTable:
    """Return the verdicts on an experiment with this title: a row for each."""
    grouped = any(verdict.group for verdict in one.verdicts)
    rows = [
        [
            verdict.id,
            *([verdict.group] if grouped else []),
            verdict.statement,
            verdict.verdict,
            _numbers(verdict),
            str(verdict.n),
        ]
        for verdict in one.verdicts
    ]
    heads = ["claim", *(["for"] if grouped else []), "statement", "verdict"]
    steps = ", ".join(dict.fromkeys(verdict.steps for verdict in one.verdicts))
    note = (
        f"Brackets: 95 % intervals over n seeds, within {steps}; x: a ratio; verdicts with Holm's correction."
    )
    return TextTable("verdicts", title, [*heads, "estimate", "n"], rows, note, right=2)


def summary_of(tables: Tables) -> TextTable:
    """Return the table that `run` prints at its end: a row for each variant."""
    title, heads, rows, caption = summary_text(tables)
    names = len(heads) - len(rows[0][1]) if rows else len(heads)
    return TextTable(
        "summary", title, heads, [[*name, *cells] for name, cells in rows], caption, len(heads) - names
    )


def _numbers(one: Verdict) -> str:
    """Return `10x [5x, 19x]`; a dash where neither estimate nor interval is known."""
    estimate, *ends = (shown(value, one.claim) for value in (one.estimate, one.ci_low, one.ci_high))
    if math.isnan(one.estimate) and math.isnan(one.ci_low):
        return "-"
    return estimate if math.isnan(one.ci_low) else f"{estimate} [{', '.join(ends)}]"
