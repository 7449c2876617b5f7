"""Where the benchmarks' numbers go: a CSV, and a table between two marks in docs/benchmarks.md."""

from __future__ import annotations

import csv
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return the median with the smallest and the largest."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def write(name: str, rows: Sequence[Mapping[str, object]], others_stay: bool = False) -> None:
    """Write the rows to results/<name>.csv and into the page; print them.

    If `others_stay`, rows that are there already keep their places; of equal first columns the new counts.
    """
    if others_stay:
        with (HERE / "results" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            kept = list(csv.DictReader(file))
        key = next(iter(rows[0]))
        merged = {row[key]: row for row in (*kept, *rows)}
        rows = list(merged.values())
    columns = list(rows[0])
    with (HERE / "results" / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    lines = [columns, ["---"] * len(columns), *([str(row[column]) for column in columns] for row in rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    print(table)
    page = PAGE.read_text(encoding="utf-8")
    marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not marked.search(page):
        raise SystemExit(f"{PAGE.name} has no place for it: <!-- {name} --> ... <!-- end -->")
    PAGE.write_text(
        marked.sub(lambda match: match[1] + table + "\n" + match[2], page, count=1), encoding="utf-8"
    )
