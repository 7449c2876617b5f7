"""`ancestry.csv`: which runs went on from the last state of a shorter run, and from which step."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from normbench.records.files import explained
from normbench.records.schema import write_csv

FILE = "ancestry.csv"


@dataclass(frozen=True)
class Ancestor:
    """What a run went on from: the id of a run, the updates that it had made, and its results folder."""

    run_id: str
    from_run_id: str
    from_step: int
    from_results: str


def read_ancestry(root: Path) -> list[Ancestor]:
    """Return the ancestors of the runs in a results folder; RecordsError if the file cannot be read."""
    path = root / FILE
    if not path.is_file():
        return []
    with explained(path, "read"), path.open(newline="", encoding="utf-8") as file:
        return [
            Ancestor(row["run_id"], row["from_run_id"], int(row["from_step"]), row["from_results"])
            for row in csv.DictReader(file)
        ]


def note_ancestry(root: Path, new: Iterable[Ancestor]) -> None:
    """Write the ancestors of these runs beside those that are there."""
    known = {one.run_id: one for one in (*read_ancestry(root), *new)}
    write_csv(root / FILE, [one.name for one in fields(Ancestor)], map(astuple, known.values()))
