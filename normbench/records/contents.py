"""What a results folder holds: the merged files and the parts, and which of them speaks for each run.

A result (finished, diverged) counts wherever it is, a merged one before one in a part: it is never
overwritten. For a run without a result the newest stack that has rows of it speaks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from normbench.errors import RecordsError
from normbench.names import ENDED, RESULTS
from normbench.records.files import explained
from normbench.records.index import OpenFiles, RowIndex
from normbench.records.parts import Part, read_parts
from normbench.records.schema import (
    COST,
    END,
    LONGEST_LINE,
    METRICS,
    ROWS,
    Table,
    cells_of,
    garbage,
    problem,
    runs_table,
    swept_keys,
)
from normbench.records.summary import final_cells

END_CELLS = [column.name for column in (*END, *COST)]


class MergedRuns:
    """The rows of runs.csv, kept as bytes and read when asked for."""

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
                self.torn = True
                return
            if number == 1:
                try:
                    header = cells_of(raw.removeprefix(b"\xef\xbb\xbf"))
                except ValueError as error:
                    raise garbage(self.path, 1, f"the header is no line of CSV ({error})") from None
                self.swept = swept_keys(header, self.path)
                self.table = runs_table(self.swept)
                continue
            what = problem(self.table, raw)
            if what is not None:
                raise garbage(self.path, number, what)
            run_id = raw[: raw.index(b",")].decode()
            if run_id in self._lines:
                raise garbage(self.path, number, f"run_id: {run_id} stands there twice")
            self._lines[run_id] = raw

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._lines

    def run_ids(self) -> list[str]:
        """Return the runs in the order of the file."""
        return list(self._lines)

    def cells(self, run_id: str) -> dict[str, str]:
        """Return a row, by the names of its columns; empty if there is none."""
        raw = self._lines.get(run_id)
        return dict(zip(self.table.names, cells_of(raw), strict=True)) if raw else {}

    def line(self, run_id: str) -> bytes:
        """Return a row as it stands in the file."""
        return self._lines[run_id]


@dataclass(frozen=True)
class Choice:
    """Who speaks for a run: its status, the cells of how it ended, and the part it is in (None: merged)."""

    status: str
    cells: Mapping[str, str]
    tables: Mapping[str, RowIndex]
    part: Part | None = None


class Contents:
    """A folder as it is on disk. Sentences about what was damaged and passed over are in `warnings`."""

    def __init__(self, root: Path) -> None:
        self.root, self.warnings = root, list[str]()
        self.files = OpenFiles()
        try:
            self._load()
        except BaseException:
            self.files.close()
            raise

    def _load(self) -> None:
        # The parts first: a merge in another process moves rows from them to the merged files, so that rows
        # are seen twice (which is put right below), and never not at all.
        self.parts = read_parts(self.root, self.files)
        self.runs = MergedRuns(self.root / "runs.csv")
        self.tables = {
            name: RowIndex(self.root / table.file, table, self.files) for name, table in ROWS.items()
        }
        self._parts_of: dict[str, list[Part]] = {}
        for part in self.parts:
            for run_id in part.members:
                self._parts_of.setdefault(run_id, []).append(part)
        self._damaged = self._find_damaged()

    def _find_damaged(self) -> set[str]:
        """Return the merged runs whose last row of metrics is not the one that runs.csv summarises."""
        metrics, damaged = self.tables["metrics"], set()
        for run_id in self.runs.run_ids():
            cells = self.runs.cells(run_id)
            if cells["status"] in ENDED:
                last = metrics.last(run_id)
                finals = final_cells(last)
                if any(cells[name] != text for name, text in finals.items()):
                    damaged.add(run_id)
        torn = [self.runs.path] if self.runs.torn else []
        torn += [index.path for index in self.tables.values() if index.torn]
        self.warnings += [f"{path}: the last line is torn; it is left out" for path in torn]
        lost = [run_id for run_id in sorted(damaged) if self.runs.cells(run_id)["status"] in RESULTS]
        lost = [
            run_id for run_id in lost if not any(run_id in part.results for part in self.parts_of(run_id))
        ]
        if lost:
            self.warnings.append(
                f"{metrics.path}: rows of {len(lost)} finished runs are missing; these runs are trained again"
            )
        return damaged

    def parts_of(self, run_id: str) -> list[Part]:
        """Return the parts that have this run as a member, the newest first."""
        return self._parts_of.get(run_id, [])

    def choose(self, run_id: str) -> Choice:
        """Return who speaks for a run."""
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

    def rows(self, table: str, run_id: str, choice: Choice) -> list[list[str]]:
        """Return a run's rows of a table from where its choice points.

        The layers of a finished run may have been measured later (a probe that was added), by another stack:
        its rows are taken if it gave the same metrics.
        """
        if table != "metrics" and choice.status in RESULTS:
            for part in self.replays(run_id, choice):
                if self.other_metrics(run_id, choice, part) is None:
                    return part.tables[table].rows(run_id)
        index = choice.tables.get(table)
        return index.rows(run_id) if index is not None and run_id in index else []

    def replays(self, run_id: str, choice: Choice) -> list[Part]:
        """Return the parts in which a run that has a result elsewhere ended with rows of layers."""
        return [
            part
            for part in self.parts_of(run_id)
            if part is not choice.part and part.status(run_id) in RESULTS and run_id in part.tables["layers"]
        ]

    def other_metrics(self, run_id: str, choice: Choice, part: Part) -> str | None:
        """Return in what a run's metrics in a part differ from those of its result, None if in nothing."""
        recorded, again = (tables["metrics"].rows(run_id) for tables in (choice.tables, part.tables))
        for before, now in zip(recorded, again, strict=False):
            for name, old, new in zip(METRICS.names, before, now, strict=True):
                if old != new:
                    return f"at step {before[1]} {name} was {old or 'empty'}, now {new or 'empty'}"
        if len(recorded) != len(again):
            return f"it had {len(recorded)} evaluations, now {len(again)}"
        return None

    def unfinished(self, part: Part) -> bool:
        """Say whether a part still speaks for a run without an end, or may be gone on with."""
        for run_id in part.members:
            choice = self.choose(run_id)
            if choice.status not in ENDED and choice.part in (part, None):
                return True
        return False

    def __enter__(self) -> Contents:
        return self

    def __exit__(self, *_: object) -> None:
        self.files.close()


def check_folder(root: Path) -> None:
    """Raise RecordsError unless the path is a folder with records."""
    if root.exists() and not root.is_dir():
        raise RecordsError(f"{root}: is a file; a results folder is needed, such as results/<name>")
    if not is_results(root):
        raise RecordsError(
            f"{root}: holds no records (no runs.csv); name a folder that `normbench run` has written, "
            "such as results/<name>"
        )


def is_results(root: Path) -> bool:
    """Say whether a folder holds the records of an experiment."""
    return (root / "runs.csv").is_file()
