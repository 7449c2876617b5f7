"""Writes tables in Markdown, for the scripts that generate pages."""

from __future__ import annotations

import re
from collections.abc import Iterable


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *([escaped(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def escaped(text: object) -> str:
    """Return a text so that Markdown shows it as it is in a cell of a table."""
    return re.sub(r"(?<!\\)([|<])", r"\\\1", " ".join(str(text).split()))
