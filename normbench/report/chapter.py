"""One experiment as a chapter of the page: the answer, the claims, the figures, the runs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from normbench.counts import counted
from normbench.errors import NormbenchError
from normbench.names import ENDED
from normbench.records import folder_status
from normbench.records.files import read_small
from normbench.records.status import FolderStatus
from normbench.report.origin import Session, again, origin

if TYPE_CHECKING:
    from normbench.report.answer import Answer
    from normbench.report.claims import Card
    from normbench.report.figure import Picture
    from normbench.report.runs import RunTable
    from normbench.report.shared import Shared

VERDICTS = ("supported", "refuted", "inconclusive")


@dataclass
class Chapter:
    """One experiment, ready for the page. Without results, `status` or `problem` says why.

    Attributes:
        anchor: its place on the page.
        folder: of the results, as it was named.
        problem: why it cannot be shown; empty if it can.
        state: how far it is, if it is not finished.
        notes: sentences about what is missing or assumed.
    """

    anchor: str
    folder: Path
    title: str
    name: str
    problem: str = ""
    state: str = ""
    finished: int = 0
    runs: int = 0
    config: str = ""
    again: str = ""
    notes: list[str] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    answer: Answer | None = None
    cards: list[Card] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    table: RunTable | None = None
    curves: Markup | None = None
    settings: str = ""

    @property
    def counts(self) -> list[tuple[str, int]]:
        """Return how many verdicts there are of each word."""
        found = Counter(line.verdict for card in self.cards for line in card.lines)
        return [(word, found[word]) for word in VERDICTS if found[word]]


def chapter(folder: Path, anchor: str, shared: Shared) -> Chapter:
    """Return the chapter of one experiment. What cannot be read becomes a sentence in it."""
    name = folder.resolve().name
    made = Chapter(anchor, folder, name, name, again=again(folder))
    made.config = _text(folder / "config.yaml")
    made.sessions = origin(folder)
    try:
        status = folder_status(folder)
        made.runs = status.total
        made.finished = sum(status.statuses[word] for word in ENDED)
        made.state = progress(status)
        made.notes = list(status.warnings)
        if made.runs:
            _fill(made, shared)
    except NormbenchError as error:
        made.problem = str(error)
    return made


def _fill(made: Chapter, shared: Shared) -> None:
    """Add what the records tell."""
    from normbench.analysis.tables import load_tables
    from normbench.plots import import_matplotlib
    from normbench.plots.captions import footer
    from normbench.report.answer import answer
    from normbench.report.claims import cards
    from normbench.report.figure import pictures
    from normbench.report.runs import run_curves, run_table

    import_matplotlib()
    tables = load_tables(made.folder, without_damaged_metrics=True)
    made.title, made.name, made.settings = tables.title, tables.name, footer(tables, outcomes=True)
    made.notes = list(dict.fromkeys([*made.notes, *tables.warnings, *tables.notes]))
    count = len(tables.runs)

    def row(position: int) -> str | None:
        return str(position) if 0 <= position < count else None

    if made.finished:
        made.answer = answer(tables, shared)
        made.cards = cards(tables, shared)
    elif tables.metrics.empty:
        return
    made.pictures, said = pictures(tables, shared, row, only_curves=not made.finished)
    made.notes += said
    made.table = run_table(tables)
    made.curves = run_curves(tables, shared, row)


def progress(status: FolderStatus) -> str:
    """Return how far an unfinished folder is: `37 of 200 runs have ended; about 3 min left`."""
    ended = sum(status.statuses[word] for word in ENDED)
    if ended == status.total and status.total:
        return ""
    if not status.total:
        return "No run is planned or recorded yet."
    parts = [f"{ended:,} of {counted(status.total, 'run', 'have')} ended"]
    if status.holder:
        parts.append("a process trains the others")
    if status.seconds_left:
        parts.append(f"about {max(1, round(status.seconds_left / 60)):,} min of training left")
    return f"{'; '.join(parts)}. Verdicts and numbers are those of the runs that have ended."


def anchors(folders: Iterable[Path]) -> list[str]:
    """Return a name for each folder that can be an anchor; each is used once."""
    used: Counter[str] = Counter()
    found = []
    for folder in folders:
        plain = re.sub(r"[^A-Za-z0-9_-]+", "-", folder.resolve().name).strip("-") or "experiment"
        used[plain] += 1
        found.append(plain if used[plain] == 1 else f"{plain}--{used[plain]}")
    return found


def _text(path: Path) -> str:
    """Return the text of a small file, or nothing."""
    try:
        return read_small(path).decode("utf-8", "replace")
    except OSError:
        return ""
