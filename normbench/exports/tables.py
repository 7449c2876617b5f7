"""Results as tables for a paper: the verdicts, if the config has claims, and the summary of the variants."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from normbench.analysis.tables import load_tables
from normbench.analysis.text_table import TextTable, summary_of, verdict_table
from normbench.analysis.verify import verify
from normbench.exports.base import Source, Target
from normbench.markup import latex, markdown
from normbench.records.files import write_file

LONG = 24  # characters; a column with longer texts breaks its lines


class TableTarget(Target):
    """A format of tables.

    Class attributes:
        ending: of its files.
    """

    ending: ClassVar[str]

    @abstractmethod
    def text(self, table: TextTable, name: str) -> str:
        """Return a table in this format; `name` is that of the experiment."""

    def write(self, sources: Sequence[Source], place: Path) -> Iterator[Path]:
        """Write the tables of each experiment into `place/EXPERIMENT/`, and yield them."""
        for source in sources:
            folder = place / source.name
            folder.mkdir(parents=True, exist_ok=True)
            for table in tables_of(source):
                path = folder / f"{table.stem}.{self.ending}"
                write_file(path, self.text(table, source.name).encode())
                yield path


def tables_of(source: Source, what: str | None = None) -> Iterator[TextTable]:
    """Yield the verdicts, if the config has claims, and then the summary.

    Args:
        source: the experiment.
        what: `verdicts` or `summary` for this one alone.
    """
    tables = load_tables(source.folder, without_damaged_metrics=True)
    if what != "summary" and tables.config.get("claims"):
        judged = verify(source.folder, write=False)
        for sentence in judged.missing:
            source.say(sentence)
        yield verdict_table(judged, tables.title)
    else:
        for sentence in tables.warnings:
            source.say(sentence)
    if what != "verdicts":
        yield summary_of(tables)


class Latex(TableTarget):
    """Tables for LaTeX with the package booktabs: the verdicts, and the summary of the variants."""

    name: Literal["latex"] = "latex"

    ending: ClassVar[str] = "tex"

    def text(self, table: TextTable, name: str) -> str:
        """Return the table as a floating environment with caption and label."""
        columns = "".join(map(_column, range(len(table.heads)), [table] * len(table.heads)))
        caption = ". ".join(filter(None, (table.title, table.note)))
        lines = [
            "% needs \\usepackage{booktabs}",
            "\\begin{table}",
            "  \\centering",
            f"  \\caption{{{latex(caption)}}}",
            f"  \\label{{tab:{re.sub(r'[^A-Za-z0-9]+', '-', name)}-{table.stem}}}",
            f"  \\begin{{tabular}}{{{columns}}}",
            "    \\toprule",
            *(f"    {' & '.join(map(latex, row))} \\\\" for row in [table.heads]),
            "    \\midrule",
            *(f"    {' & '.join(map(latex, row))} \\\\" for row in table.rows),
            "    \\bottomrule",
            "  \\end{tabular}",
            "\\end{table}",
        ]
        return "\n".join(lines) + "\n"


class Markdown(TableTarget):
    """Tables for Markdown as GitHub shows it: the verdicts, and the summary of the variants."""

    name: Literal["markdown"] = "markdown"

    ending: ClassVar[str] = "md"

    def text(self, table: TextTable, name: str) -> str:
        """Return the table below its title."""
        plain = len(table.heads) - table.right
        lines = [
            f"**{markdown(table.title)}**",
            "",
            _row(table.heads),
            f"|{'---|' * plain}{'---:|' * table.right}",
            *map(_row, table.rows),
        ]
        return "\n".join([*lines, *(["", markdown(table.note)] if table.note else [])]) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(markdown, cells))} |"


def _column(place: int, table: TextTable) -> str:
    """Return how a column is aligned: `l`, `r`, or a width for long texts."""
    if place >= len(table.heads) - table.right:
        return "r"
    longest = max((len(row[place]) for row in table.rows), default=0)
    return "p{0.3\\linewidth}" if longest > LONG else "l"
