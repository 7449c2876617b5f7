"""Text for pages that others show: tables as HTML for notebooks, and texts escaped for LaTeX and Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

MOST_ROWS = 60  # of a table in a notebook; a sentence counts the others
_MARKDOWN = re.compile(r"[\\`*_<>|~]|&(?=#?\w+;)|(?<=\])\(")
_LATEX = {
    **{char: f"\\{char}" for char in "{}$&#_%"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}"},
    **{"∞": r"$\infty$", "µ": r"$\mu$"},
}


def html_table(
    title: str, heads: Sequence[str], rows: Sequence[Sequence[Any]], notes: Iterable[str] = ()
) -> str:
    """Return a title, a table and sentences below it as HTML.

    Args:
        title: a line of text.
        heads: names of the columns.
        rows: cells; None is an empty one. Rows beyond `MOST_ROWS` are counted, not shown.
        notes: sentences.
    """
    lines = [f"<div><p><b>{escape(title)}</b></p>"]
    if rows:
        lines.append(f"<table><thead><tr>{_cells('th', heads)}</tr></thead><tbody>")
        lines += [f"<tr>{_cells('td', row)}</tr>" for row in rows[:MOST_ROWS]]
        lines.append("</tbody></table>")
    if len(rows) > MOST_ROWS:
        lines.append(f"<p>and {len(rows) - MOST_ROWS:,} more rows</p>")
    lines += [f"<p>{escape(note)}</p>" for note in notes]
    return "\n".join([*lines, "</div>"])


def _cells(tag: str, cells: Iterable[Any]) -> str:
    return "".join(f"<{tag}>{_text(cell)}</{tag}>" for cell in cells)


def _text(cell: Any) -> str:
    """Return a cell as HTML: numbers with at most four digits that count, lines kept apart."""
    if cell is None:
        return ""
    text = f"{cell + 0.0:.4g}" if isinstance(cell, float) else str(cell)  # -0 is 0
    return escape(text).replace("\n", "<br>")


def latex(text: str) -> str:
    """Return a text as LaTeX shows it, also at the start of a row, where `[` and `*` have a meaning."""
    escaped = "".join(_LATEX.get(char, char) for char in " ".join(text.split()))
    return f"{{{escaped[0]}}}{escaped[1:]}" if escaped[:1] in ("[", "*") else escaped


def markdown(text: str) -> str:
    """Return a text on one line, with a backslash before each character that Markdown would read."""
    return _MARKDOWN.sub(r"\\\g<0>", " ".join(text.split()))
