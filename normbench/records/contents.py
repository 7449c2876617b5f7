"""What a results folder holds: merged files and parts, and which of them is the source for each run.

A result (finished, diverged) always counts and is never overwritten; a merged result comes before one in a
part. For a run without a result the newest stack that has rows of it is the source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from normbench.errors import RecordsError
from normbench.names import ENDED, RESULTS
from normbench.records.environment import check_format
from normbench.records.files import explained
from normbench.records.index import OpenFiles, RowIndex
from normbench.records.lock import holder_of
from normbench.records.parts import Part, read_parts
from normbench.records.schema import (
    COST,
    DECIDED,
    END,
    INFERENCE,
    LONGEST_LINE,
    METRICS,
    ROWS,
    Table,
    cells_of,
    garbage,
    problem,
    runs_table,
    same_cell,
    saved_otherwise,
    swept_keys,
    table_of,
)
from normbench.records.summary import final_cells, run_cells

T = TypeVar("T")
END_CELLS = [column.name for column in (*END, *COST, *INFERENCE)]
_SHOWN = 3  # runs in a sentence
_ATTEMPTS = 5  # a merge in another process may remove a part between listing and reading it


class MergedRuns:
    """The rows of runs.csv, kept as bytes and split into cells on request.

    Attributes:
        table: the columns of the file.
        swept: the swept keys among them.
        torn: whether the last line is incomplete; it is left out.
        missing: whether there is no such file.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.torn, self.missing = path, False, False
        self.table: Table = runs_table([])
        self.swept: list[str] = []
        self._lines: dict[str, bytes] = {}
        with explained(path, "read"):
            try:
                file = path.open("rb")
            except FileNotFoundError:
                self.missing = True
                return
            with file:
                self._read(iter(lambda: file.readline(LONGEST_LINE), b""))

    def _read(self, lines: Iterator[bytes]) -> None:
        for number, raw in enumerate(lines, start=1):
            if not raw.endswith(b"\n"):
                if len(raw) >= LONGEST_LINE:
                    raise garbage(self.path, number, f"a line of more than {LONGEST_LINE} bytes")
                if number == 1 or not self._is_whole(raw):
                    self.torn = True
                    return
            if number == 1:
                try:
                    header = cells_of(raw.removeprefix(b"\xef\xbb\xbf"))
                except ValueError as error:
                    raise garbage(
                        self.path, 1, f"{saved_otherwise(raw)}The header is not a line of CSV ({error})"
                    ) from None
                self.table = table_of(header, self.path)
                self.swept = swept_keys(self.table)
                continue
            what = problem(self.table, raw)
            if what is not None:
                raise garbage(self.path, number, what)
            run_id = raw[: raw.index(b",")].decode().strip('"')
            if run_id in self._lines:
                raise garbage(self.path, number, f"run_id: {run_id} has two rows")
            self._lines[run_id] = raw if raw.endswith(b"\n") else raw + b"\n"

    def _is_whole(self, raw: bytes) -> bool:
        """Return whether a last line lacks nothing but its line end, as some editors save it."""
        if problem(self.table, raw) is not None or self.table.names[-1] != DECIDED[0].name:
            return False
        decided = cells_of(raw)[-1]
        return decided == "none" or (decided != "" and set(decided.split()) <= set(self.swept))

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._lines

    def run_ids(self) -> list[str]:
        """Return the runs in the order of the file."""
        return list(self._lines)

    def cells(self, run_id: str) -> dict[str, str]:
        """Return the cells of a run by column; empty if the run is not in the file."""
        raw = self._lines.get(run_id)
        return dict(zip(self.table.names, cells_of(raw), strict=True)) if raw else {}

    def line(self, run_id: str) -> bytes:
        """Return the line of a run as it is in the file."""
        return self._lines[run_id]


@dataclass(frozen=True)
class Choice:
    """The source of a run: its status, the cells of how it ended, its rows, and its part (None: merged)."""

    status: str
    cells: Mapping[str, str]
    tables: Mapping[str, RowIndex]
    part: Part | None = None


class Contents:
    """A folder as it is on disk. `warnings` collects sentences about damage that was skipped."""

    def __init__(self, root: Path) -> None:
        self.root, self.warnings = root, list[str]()
        self.files = OpenFiles()
        try:
            self._load()
        except BaseException:
            self.files.close()
            raise

    def _load(self) -> None:
        # Parts first: a merge in another process moves rows from parts to merged files. In this order a row
        # may be seen twice, which `choose` resolves, but never not at all.
        self.parts = read_parts(self.root, self.files)
        self.runs = MergedRuns(self.root / "runs.csv")
        self.tables = {
            name: RowIndex(self.root / table.file, table, self.files, unended_counts=table is METRICS)
            for name, table in ROWS.items()
        }
        self._parts_of: dict[str, list[Part]] = {}
        for part in self.parts:
            for run_id in part.members:
                self._parts_of.setdefault(run_id, []).append(part)
        self._damaged = self._find_damaged()

    def _find_damaged(self) -> set[str]:
        """Return the merged runs whose last row of metrics differs from the summary in runs.csv."""
        metrics, damaged = self.tables["metrics"], set()
        for run_id in self.runs.run_ids():
            cells = self.runs.cells(run_id)
            if cells["status"] in ENDED and not (
                self._ends_as(cells, metrics.last(run_id))
                # Sorted by another program, the last line is not the one of the last step.
                or (run_id in metrics and self._ends_as(cells, metrics.rows(run_id)[-1]))
            ):
                damaged.add(run_id)
        torn = [self.runs.path] if self.runs.torn else []
        torn += [index.path for index in self.tables.values() if index.torn or index.unended in damaged]
        self.warnings += [f"{path}: the last line is torn; it is left out" for path in torn]
        lost = [run_id for run_id in sorted(damaged) if self.runs.cells(run_id)["status"] in RESULTS]
        lost = [
            run_id for run_id in lost if not any(run_id in part.results for part in self.parts_of(run_id))
        ]
        if lost:
            self.warnings.append(
                f"{metrics.path}: rows of {len(lost)} finished runs are missing; these are trained again: "
                f"{', '.join(lost[:_SHOWN])}{', ...' if len(lost) > _SHOWN else ''}"
            )
        return damaged

    def _ends_as(self, cells: Mapping[str, str], last: list[str] | None) -> bool:
        """Return whether the summary of a run in runs.csv is that of this last row of its metrics."""
        digits = self.tables["metrics"].unended != cells["run_id"]
        return all(same_cell(cells[name], text, digits) for name, text in final_cells(last).items())

    def parts_of(self, run_id: str) -> list[Part]:
        """Return the parts that have this run as a member, newest first."""
        return self._parts_of.get(run_id, [])

    def choose(self, run_id: str) -> Choice:
        """Return the source of a run."""
        merged = self.runs.cells(run_id) if run_id not in self._damaged else {}
        status = merged.get("status")
        if status in RESULTS:
            return Choice(str(status), merged, self.tables)
        parts = self.parts_of(run_id)
        for part in parts:
            if run_id in part.results:
                return self._of_part(part, run_id)
        for part in parts:
            if part.status(run_id) is not None:
                return self._of_part(part, run_id)
        if status == "crashed":
            return Choice(status, merged, self.tables)
        return Choice("pending", {}, {})

    def _of_part(self, part: Part, run_id: str) -> Choice:
        cells = part.end(run_id)
        if cells is None:
            last = part.tables["metrics"].last(run_id) or ["", ""]
            cells = {"steps": last[1], "stack": part.stack_id, "executor": part.manifest.executor}
        return Choice(part.status(run_id) or "pending", cells, part.tables, part)

    def source(self, table: str, run_id: str, choice: Choice) -> RowIndex | None:
        """Return the file that holds a run's rows of a table, None if there are none.

        The layers of a finished run may have been measured later, for a probe that was added, by another
        stack. Its rows are used if that stack gave the same metrics.
        """
        if table != "metrics" and choice.status in RESULTS:
            for part in self.replays(run_id, choice):
                if self.other_metrics(run_id, choice, part) is None:
                    return part.tables[table]
        index = choice.tables.get(table)
        return index if index is not None and run_id in index else None

    def rows(self, table: str, run_id: str, choice: Choice) -> list[list[str]]:
        """Return a run's rows of a table from its source."""
        index = self.source(table, run_id, choice)
        return index.rows(run_id) if index is not None else []

    def run_rows(self, summary: bool = True) -> Iterator[dict[str, str]]:
        """Yield the current cells of each run in runs.csv; without `summary` its cells may be empty."""
        for run_id in self.runs.run_ids():
            choice = self.choose(run_id)
            known = self.runs.cells(run_id)
            if choice.part is None and choice.status == known["status"]:
                yield known
                continue
            rows = self.rows("metrics", run_id, choice) if summary else []
            yield {**known, **run_cells(choice.status, choice.cells, rows, below_in(choice))}

    def replays(self, run_id: str, choice: Choice) -> list[Part]:
        """Return the other parts in which a run with a result ended and has rows of layers."""
        return [
            part
            for part in self.parts_of(run_id)
            if part is not choice.part and part.status(run_id) in RESULTS and run_id in part.tables["layers"]
        ]

    def other_metrics(self, run_id: str, choice: Choice, part: Part) -> str | None:
        """Return how a run's metrics in a part differ from those of its result, None if they do not."""
        recorded, again = (tables["metrics"].rows(run_id) for tables in (choice.tables, part.tables))
        for before, now in zip(recorded, again, strict=False):
            for name, old, new in zip(METRICS.names, before, now, strict=True):
                if not same_cell(old, new):
                    return f"at step {before[1]} {name} was {old or 'empty'}, now {new or 'empty'}"
        if len(recorded) != len(again):
            return f"it had {len(recorded)} evaluations, now {len(again)}"
        return None

    def unfinished(self, part: Part) -> bool:
        """Return whether a part is still the source of a run without an end, or can be continued."""
        for run_id in part.members:
            choice = self.choose(run_id)
            if choice.status not in ENDED and choice.part in (part, None):
                return True
        return False

    def __enter__(self) -> Contents:
        return self

    def __exit__(self, *_: object) -> None:
        self.files.close()


def below_in(choice: Choice) -> float | None:
    """Return the `trains_below` that a part recorded for a run, None for other sources."""
    below = choice.cells.get("trains_below")
    return float(below) if below else None


def retried(root: Path, read: Callable[[Path], T]) -> T:
    """Return what `read` returns for a results folder; try again if another process changed its files.

    Raises:
        RecordsError: the path is not a results folder, or its files are damaged.
    """
    for attempt in range(_ATTEMPTS):
        check_folder(root)
        holder = holder_of(root)
        try:
            return read(root)
        except RecordsError:
            # A process that trains renames and truncates files while we read them.
            if holder is None or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def check_folder(root: Path) -> None:
    """Raise RecordsError unless the path is a folder with records that this version can read."""
    if root.exists() and not root.is_dir():
        raise RecordsError(f"{root}: is a file; a results folder is needed, such as results/<name>")
    if not is_results(root):
        raise RecordsError(
            f"{root / 'runs.csv'}: not there, so the folder holds no records; name a folder that "
            "`normbench run` has written, such as results/<name>"
        )
    check_format(root)


def is_results(root: Path) -> bool:
    """Return whether a folder holds the records of an experiment."""
    return (root / "runs.csv").is_file()
