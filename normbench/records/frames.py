"""The records as data frames, and what is in a folder at a glance: merged files and parts alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from normbench.errors import RecordsError
from normbench.names import OUTCOMES, STATUSES
from normbench.records.contents import Choice, Contents, check_folder, is_results
from normbench.records.environment import workers_of
from normbench.records.files import explained
from normbench.records.lock import holder_of
from normbench.records.merge import run_cells
from normbench.records.schema import LAYERS, METRICS, Table, number, runs_table, text_value
from normbench.records.time_left import seconds_left

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
NUMBER_WORDS = ("inf", "-inf", "nan")
ATTEMPTS = 5  # a merge in another process may take a part away between listing and reading it


def read_runs(folder: Path | str) -> pd.DataFrame:
    """Return runs.csv with the parts in progress: a row for each run, in the plan's order.

    Swept keys are bool, whole, float or str columns by what they hold. Warnings: `frame.attrs["warnings"]`.
    """

    def read(contents: Contents) -> pd.DataFrame:
        table = runs_table(contents.runs.swept)
        rows = [[cells[name] for name in table.names] for _, cells in _run_rows(contents)]
        return _frame(table, rows, contents)

    return _read(Path(folder), read)


def read_metrics(folder: Path | str) -> pd.DataFrame:
    """Return metrics.csv with the parts in progress: `run_id` a category, `step` int64, the rest float64."""
    return _read(Path(folder), lambda contents: _row_table(METRICS, contents))


def read_layers(folder: Path | str) -> pd.DataFrame:
    """Return layers.csv with the parts in progress; no rows where no probe was on."""
    return _read(Path(folder), lambda contents: _row_table(LAYERS, contents))


@dataclass(frozen=True)
class FolderStatus:
    """How many runs have which status and outcome, the time left, who writes the folder, what was damaged."""

    name: str
    total: int
    statuses: dict[str, int]  # all five, in the order of the design
    outcomes: dict[str, int]
    seconds_left: float | None  # None: nothing has ended yet that would tell
    holder: str | None
    warnings: list[str]


def folder_status(folder: Path | str) -> FolderStatus:
    """Return the counts of one experiment's folder; no pandas, so that it is fast."""

    def count(contents: Contents) -> FolderStatus:
        rows = [cells for _, cells in _run_rows(contents, summary=False)]
        statuses = Counter(cells["status"] for cells in rows)
        outcomes = Counter(cells["outcome"] for cells in rows)
        return FolderStatus(
            contents.root.resolve().name,
            len(rows),
            {name: statuses[name] for name in STATUSES},
            {name: outcomes[name] for name in OUTCOMES},
            seconds_left(rows, contents.runs.swept, workers_of(contents.root)),
            holder_of(contents.root),
            contents.warnings,
        )

    return _read(Path(folder), count)


def experiments_in(path: Path | str) -> list[Path]:
    """Return the results folders that RESULTS means: the folder itself, or those directly in it."""
    root = Path(path)
    if not root.exists():
        raise RecordsError(f"{root}: there is no such folder; `normbench run CONFIG` writes results/<name>")
    if not root.is_dir():
        raise RecordsError(f"{root}: is a file; name a results folder such as results/<name>")
    if is_results(root):
        return [root]
    with explained(root, "read"):
        found = sorted(inner for inner in root.iterdir() if inner.is_dir() and is_results(inner))
    if not found:
        raise RecordsError(
            f"{root}: neither it nor a folder in it holds records (runs.csv); `normbench run CONFIG` writes "
            "results/<name>"
        )
    return found


def _read(root: Path, use: Callable[[Contents], T]) -> T:
    for attempt in range(ATTEMPTS):
        check_folder(root)
        before = holder_of(root)
        try:
            with Contents(root) as contents:
                return use(contents)
        except RecordsError:
            # While another process trains, files may be renamed or cut under our eyes.
            if before is None or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _run_rows(contents: Contents, summary: bool = True) -> Iterator[tuple[Choice, dict[str, str]]]:
    """Yield each run of runs.csv with the cells that are true now."""
    for run_id in contents.runs.run_ids():
        choice = contents.choose(run_id)
        known = contents.runs.cells(run_id)
        if choice.part is None and choice.status == known["status"]:
            yield choice, known
            continue
        rows = contents.rows("metrics", run_id, choice) if summary else []
        below = choice.cells.get("trains_below")
        yield choice, {**known, **run_cells(choice, rows, float(below) if below else None)}


def _row_table(table: Table, contents: Contents) -> pd.DataFrame:
    rows: list[list[str]] = []
    for run_id in contents.runs.run_ids():
        rows += contents.rows(table.name, run_id, contents.choose(run_id))
    return _frame(table, rows, contents)


def _frame(table: Table, rows: list[list[str]], contents: Contents) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    columns = {}
    for position, column in enumerate(table.columns):
        cells = [row[position] for row in rows]
        name = text_value(column.name)
        if column.kind == "float":
            numbers = (float(cell) if cell else np.nan for cell in cells)
            columns[name] = pd.Series(np.fromiter(numbers, dtype="float64", count=len(cells)))
        elif column.kind == "int":
            columns[name] = _whole_numbers(cells, always=column.name in ("step", "seed"))
        elif column.kind == "id" and table.name != "runs":
            columns[name] = pd.Series(pd.Categorical(cells, categories=contents.runs.run_ids()))
        elif column.name in ("status", "outcome", "stack", "executor", "layer", "quantity", "run_id"):
            columns[name] = _texts(cells)
        else:
            columns[name] = _swept(cells)
    frame = pd.DataFrame(columns)
    frame.attrs["warnings"] = list(contents.warnings)
    return frame


def _whole_numbers(cells: list[str], always: bool) -> pd.Series:
    """Return int64 where a value is always there, the nullable Int64 elsewhere."""
    import pandas as pd

    values = [int(cell) if cell else None for cell in cells]
    return pd.Series(values, dtype="int64" if always else "Int64")


def _texts(cells: list[str]) -> pd.Series:
    import pandas as pd

    return pd.Series([text_value(cell) if cell else None for cell in cells], dtype="object")


def _swept(cells: list[str]) -> pd.Series:
    """Return a swept key's column in the narrowest of bool, whole, float and str that holds all its cells."""
    import pandas as pd

    present = {cell for cell in cells if cell}
    if present and present <= {"true", "false"}:
        flags = [cell == "true" if cell else None for cell in cells]
        return pd.Series(flags, dtype="boolean" if "" in cells else "bool")
    try:
        if not present or any(
            cell.lstrip("+-")[:1].isalpha() and cell not in NUMBER_WORDS for cell in present
        ):
            raise ValueError
        if all(cell.removeprefix("-").isdecimal() for cell in present):
            return _whole_numbers(cells, always="" not in cells)
        numbers = [number(cell) if cell else None for cell in cells]
        return pd.Series(numbers, dtype="float64")
    except (ValueError, OverflowError):
        return _texts(cells)
