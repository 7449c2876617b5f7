"""Writes the numbers of a benchmark to a CSV and to a table between two marks in docs/benchmarks.md.

Each row holds its origin: commit, date, processor and threads. A table with several origins marks each row
with a letter.
"""

from __future__ import annotations

import csv
import datetime
import os
import platform
import re
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import torch

HERE = Path(__file__).parent
ROOT = HERE.parent
PAGE = ROOT / "docs" / "benchmarks.md"
ORIGIN = ("commit", "date", "processor", "threads")
# Written by the benchmarks: changes of these do not mark the code as changed.
WRITTEN = ("benchmarks/results", "docs/benchmarks.md")


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return the median with the smallest and the largest."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


@cache
def origin() -> dict[str, str]:
    """Return the origin of rows that are measured now; a `+` after the commit means uncommitted changes."""
    return {
        "commit": commit(),
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "threads": str(torch.get_num_threads()),
    }


def commit() -> str:
    """Return the short hash of the checkout, or what `COMMIT` says where the git folder is missing."""
    if said := os.environ.get("COMMIT"):
        return said
    changed = [f":!{path}" for path in WRITTEN]
    short = _git("rev-parse", "--short", "HEAD")
    return short + ("+" if _git("status", "--porcelain", "--", ".", *changed) else "")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def processor() -> str:
    """Return the name of the processor."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def write(name: str, rows: Sequence[Mapping[str, object]], others_stay: bool = False) -> None:
    """Write rows to results/<name>.csv and to the page, and print them.

    Args:
        name: of the table and of its marks in the page.
        rows: measured now; their first column identifies them.
        others_stay: whether existing rows stay, with their own origin.
    """
    path = HERE / "results" / f"{name}.csv"
    new: list[dict[str, object]] = [
        {**row, **origin(), **row} for row in rows
    ]  # a row may name its own processor
    if others_stay:
        with path.open(newline="", encoding="utf-8") as file:
            kept = list(csv.DictReader(file))
        key = next(iter(rows[0]))
        merged: dict[object, Mapping[str, object]] = {row[key]: row for row in (*kept, *new)}
        new = [dict(row) for row in merged.values()]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(new[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(new)
    text = table(new)
    print(text)
    put(name, text)


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows as Markdown, followed by their origins, which have letters if there are several."""
    origins = list(dict.fromkeys(tuple(str(row[key]) for key in ORIGIN) for row in rows))
    columns = [column for column in rows[0] if column not in ORIGIN]
    several = len(origins) > 1
    heads = [*columns, *(["from"] if several else [])]
    lines = [heads, ["---"] * len(heads)]
    for row in rows:
        mark = _letter(origins.index(tuple(str(row[key]) for key in ORIGIN)))
        lines.append([*(str(row[column]) for column in columns), *([mark] if several else [])])
    said = []
    for place, (commit, date, processor, threads) in enumerate(origins):
        mark = f"{_letter(place)}: " if several else ""
        said.append(f"{mark}commit {commit}, {date}, {processor}, {threads} threads")
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\nMeasured at {'; '.join(said)}."


def _letter(place: int) -> str:
    return chr(ord("a") + place)


def put(name: str, text: str) -> None:
    """Replace the table of this name in the page."""
    page = PAGE.read_text(encoding="utf-8")
    marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not marked.search(page):
        raise SystemExit(f"{PAGE.name} has no marks for this table: <!-- {name} --> ... <!-- end -->")
    PAGE.write_text(
        marked.sub(lambda match: match[1] + text + "\n" + match[2], page, count=1), encoding="utf-8"
    )
