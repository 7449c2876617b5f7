"""Prints answers: tables and JSON on stdout, sentences on stderr, numbers with units."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import typer

from normbench.cli.streams import is_written

WIDE = 160  # columns if stdout is not a terminal
UNBOUNDED = 1_000_000  # columns, to ask how many a table would take


def print_json(answer: Any) -> None:
    """Print an answer as JSON."""
    text = json.dumps(answer, indent=2, ensure_ascii=False, allow_nan=False, default=str)
    if not is_written(text):
        text = json.dumps(answer, indent=2, allow_nan=False, default=str)
    typer.echo(text)


def exact(value: Any) -> Any:
    """Return a value for JSON with all its digits: None for NaN, `inf` as a word."""
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else ("inf" if value > 0 else "-inf")


def say(text: str) -> None:
    """Print a sentence on stderr, where it does not mix with results."""
    typer.echo(text, err=True)


def say_reading(configs: Sequence[Any]) -> None:
    """Say at once what is read: torch is imported first, which takes seconds."""
    names = map(str, configs) if len(configs) <= 3 else [f"{len(configs)} configs"]
    say(f"normbench: reading {', '.join(names)}")


def width() -> int:
    """Return how many columns a table may take."""
    import shutil

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDE


def print_rich(thing: Any, most: int = WIDE) -> None:
    """Print a rich object on stdout, without color codes and in `most` columns unless it is a terminal."""
    _console(most).print(thing)


def _console(most: int) -> Any:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else most)


def print_table(
    title: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[Any]],
    right: int = 0,
    most: int = WIDE,
    tight: bool = False,
) -> None:
    """Print rows as a table.

    Args:
        title: above it.
        heads: of the columns.
        rows: of values.
        right: number of columns, counted from the last one, that are aligned to the right.
        most: columns of text that it may take if stdout is not a terminal.
        tight: leave less space between the columns.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    def table(rows: Iterable[Iterable[str]]) -> Table:
        made = Table(
            title=Text(title),
            title_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            collapse_padding=tight,
        )
        for place, head in enumerate(heads):
            number = place >= len(heads) - right
            made.add_column(Text(head), justify="right" if number else "left", overflow="fold")
        for row in rows:
            made.add_row(*map(Text, row))
        return made

    texts = [[scalar(value) for value in row] for row in rows]
    console = _console(most)
    if all(text.isprintable() for row in texts for text in row):  # no cell has a line break or a tab
        # Where no cell takes two lines, a column is one cell of many lines, which rich draws far faster.
        at_once = table(["\n".join(column) for column in zip(*texts, strict=True)] for _ in texts[:1])
        if console.measure(at_once, options=console.options.update(width=UNBOUNDED)).maximum <= console.width:
            console.print(at_once)
            return
    console.print(table(texts))


def scalar(value: Any) -> str:
    """Return a value of a table as text; a missing value is a dash."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def span(values: Sequence[Any]) -> str:
    """Return `11: 0.001 to 100` for the values of an axis."""
    known = list(dict.fromkeys(values))
    if len(known) > 4 and all(isinstance(value, (int, float)) for value in known):
        return f"{len(known)}: {min(known):g} to {max(known):g}"
    return ", ".join(scalar(value) for value in known)


def amount(value: float, unit: str) -> str:
    """Return `26.4 MFLOP`, `1.2 GB`: a number with a decimal prefix."""
    for prefix in ("", "k", "M", "G", "T", "P"):
        if abs(value) < 1000 or prefix == "P":
            break
        value /= 1000
    return f"{value:.3g} {prefix}{unit}"


def duration(seconds: float) -> str:
    """Return a duration as text: `45 s`, `3 min 20 s`, `1 h 05 min`."""
    whole = round(max(seconds, 0.0))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 10:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"
