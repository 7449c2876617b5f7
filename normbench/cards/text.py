"""A card as plain text: what the command prints, and what `print(card)` shows in Python."""

from __future__ import annotations

import io

from normbench.cards import words
from normbench.cards.card import Card
from normbench.cards.pages import budget_text, heading, lists
from normbench.cards.remarks import remarks

WIDE = 160  # columns


def as_text(card: Card, width: int = WIDE) -> str:
    """Return the rows with their ranks, where the normalization is worse and better, and what to know."""
    from rich import box  # lazily: a card without text needs no rich
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(f"{heading(card)} (in brackets: the rank)"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for head in ("", *card.prepared.norms):
        table.add_column(Text(head), overflow="fold")
    for row in card.rows:
        head = f"{row.setting}: {words.title(row)}" if row.setting else words.title(row)
        cells = [_cell(words.shown(e.value.estimate, row.unit), words.rank(e)) for e in row.entries]
        table.add_row(*map(Text, (head, *cells)))
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(table)
    lines = [line.rstrip() for line in stream.getvalue().rstrip().splitlines()]
    for name in card.steps:
        lines += [f"{card.prepared.sections[name].title}: {text}" for text in remarks(card, name)]
    for head, found in lists(card):
        lines.append(f"{head}:" + ("" if found else " nowhere that these seeds could show"))
        lines += [f"  {row}: " + "; ".join(text for text, _ in texts) for row, texts in found]
    return "\n".join([*lines, budget_text(card)])


def _cell(value: str, rank: str) -> str:
    return f"{value} ({rank})" if value and rank else value or "-"
