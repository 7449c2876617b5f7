"""The part files of a stack: its writer appends to them while the stack trains.

`parts/<stack>.json` lists the runs of the stack and its executor. Next to it are `<stack>.metrics.csv`,
`<stack>.runs.csv` (one row per run that ended) and, with probes, `<stack>.layers.csv`. The rows of an
interrupted stack stay there until the stack is trained again or continues from a checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normbench.engine.events import Evaluation, Event, Layers, RunEnd
from normbench.errors import RecordsError
from normbench.names import ENDED, RESULTS
from normbench.records.files import (
    explained,
    open_own,
    own_folder,
    read_small,
    remove,
    sync_folder,
    write_file,
)
from normbench.records.index import OpenFiles, RowIndex
from normbench.records.schema import LAYERS, METRICS, PART_TABLES, count, format_cell, line

if TYPE_CHECKING:
    from normbench.planning.runs import Stack

FOLDER = "parts"
CRASHES = "crashes"
STACK_ID = re.compile(r"(?=[a-z]*[0-9])[0-9a-z]{8,64}|[a-f]{8}")  # names of other files rarely fit


@dataclass(frozen=True)
class Manifest:
    """The members of a stack. `order` counts the stacks of a folder: a larger one is newer."""

    stack_id: str
    executor: str
    order: int
    runs: tuple[str, ...]
    resumable: bool = True  # false once runs left the stack because the config no longer has them

    def write(self, folder: Path) -> None:
        """Write `<stack>.json`."""
        data = {**self.__dict__, "runs": list(self.runs)}
        write_file(part_file(folder, self.stack_id, None), (json.dumps(data, indent=1) + "\n").encode())


def part_file(folder: Path, stack_id: str, table: str | None) -> Path:
    """Return the path of a stack's part file for a table, or of its manifest for None."""
    return folder / (f"{stack_id}.{table}.csv" if table else f"{stack_id}.json")


def remove_part(folder: Path, stack_id: str) -> None:
    """Remove the files of a stack, in an order in which a part that is half removed holds no result."""
    for table in PART_TABLES:  # rows first: an end without its rows is not a result
        remove(part_file(folder, stack_id, table))
    remove(part_file(folder, stack_id, None))


class Part:
    """The part files of one stack, as they are on disk now."""

    def __init__(self, folder: Path, stack_id: str, files: OpenFiles) -> None:
        self.folder, self.stack_id = folder, stack_id
        self.tables = {
            name: RowIndex(part_file(folder, stack_id, name), table, files)
            for name, table in PART_TABLES.items()
        }
        manifest = read_manifest(folder, stack_id)
        if manifest is None:
            # Lost or damaged: the rows name the members, but the stack cannot be continued.
            ids = dict.fromkeys(run for table in self.tables.values() for run in table.run_ids())
            manifest = Manifest(stack_id, "", 0, tuple(ids), resumable=False)
        self.manifest = manifest
        self.members = frozenset(self.manifest.runs)
        self._ends = self._read_ends()
        self.results = frozenset(run_id for run_id, cells in self._ends.items() if cells["status"] in RESULTS)

    def _read_ends(self) -> dict[str, dict[str, str]]:
        ends: dict[str, dict[str, str]] = {}
        names = self.tables["runs"].table.names
        for run_id in self.tables["runs"].run_ids():
            cells = dict(zip(names, self.tables["runs"].last(run_id) or (), strict=True))
            if count(cells["rows"]) <= self.tables["metrics"].counts.get(run_id, 0):
                ends[run_id] = cells
        return {run_id: cells for run_id, cells in ends.items() if run_id in self.members}

    def end(self, run_id: str) -> dict[str, str] | None:
        """Return the cells of how a run ended here, None if it did not or its rows are lost."""
        return self._ends.get(run_id)

    def status(self, run_id: str) -> str | None:
        """Return the status of a run here: `interrupted` without an end, None if it did not begin."""
        end = self._ends.get(run_id)
        if end is not None:
            return end["status"]
        return "interrupted" if run_id in self.members and run_id in self.tables["metrics"] else None


def read_manifest(folder: Path, stack_id: str) -> Manifest | None:
    """Return the manifest of a stack, None if it is missing or damaged."""
    path = part_file(folder, stack_id, None)
    try:
        with explained(path, "read"):
            data = json.loads(read_small(path))
        runs = tuple(str(run) for run in data["runs"])
        return Manifest(stack_id, str(data["executor"]), int(data["order"]), runs, bool(data["resumable"]))
    except (RecordsError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None


def stack_ids(root: Path) -> list[str]:
    """Return the ids of the stacks with files in a results folder, sorted."""
    folder = root / FOLDER
    endings = [".json", *(f".{name}.csv" for name in PART_TABLES)]
    with explained(folder, "read"):
        try:
            names = sorted(path.name for path in folder.iterdir())
        except FileNotFoundError:
            return []
    found: dict[str, list[str]] = {}
    for name in names:
        stack_id, dot, ending = name.partition(".")
        if dot + ending in endings and STACK_ID.fullmatch(stack_id):
            found.setdefault(stack_id, []).append(dot + ending)
    # A lone `.json` that is no manifest is the file of another program.
    return [
        stack_id for stack_id, there in found.items() if there != [".json"] or read_manifest(folder, stack_id)
    ]


def read_parts(root: Path, files: OpenFiles) -> list[Part]:
    """Return the parts of a results folder, newest first."""
    parts = [Part(root / FOLDER, stack_id, files) for stack_id in stack_ids(root)]
    return sorted(parts, key=lambda part: (-part.manifest.order, part.stack_id))


class StackWriter:
    """Appends what a stack measures to its part files. Each stack has one writer, in one process.

    Rows are buffered until each run of the stack that still trains has one, then written together.

    Args:
        root: the results folder.
        stack: the stack.
        order: the number of the stack in this folder.
        lengths: the lengths of the part files in bytes at the checkpoint from which the stack continues; None
            if the stack starts from its beginning.
        dtype: the training dtype; floats are written with its digits.
        check: raises if the path leads to another folder by now; asked before a file is opened or removed.
    """

    def __init__(
        self,
        root: Path,
        stack: Stack,
        order: int,
        lengths: Mapping[str, int] | None,
        dtype: str,
        check: Callable[[], None],
    ) -> None:
        self.root, self.folder, self.stack_id = root, root / FOLDER, stack.stack_id
        self.dtype, self._check = dtype, check
        self._trains_below = {run.run_id: run.settings.train.trains_below for run in stack.runs}
        self._buffers: dict[str, list[bytes]] = {}
        self._sizes: dict[str, int] = {}
        self._descriptors: dict[str, int] = {}
        self._counts: Counter[str] = Counter()
        self._alive: set[str] = set()
        self._tables = dict(PART_TABLES)  # a file that an older version began keeps its columns
        self.closed = False
        own_folder(self.folder)
        if lengths is None:
            remove_part(self.folder, self.stack_id)
        if lengths is None or not part_file(self.folder, self.stack_id, None).exists():
            Manifest(self.stack_id, stack.executor, order, tuple(self._trains_below)).write(self.folder)
        self.truncate_to(lengths or {})

    def write(self, event: Event) -> None:
        """Append an event of the engine."""
        if isinstance(event, RunEnd):
            self.end(event)
        elif isinstance(event, Layers):
            self.layers([event.run_id, event.step, *row] for row in event.rows)
        else:
            self.evaluation(event)

    def evaluation(self, event: Evaluation) -> None:
        """Append a row of metrics."""
        self.append("metrics", [[getattr(event, name) for name in METRICS.names]])
        self._counts[event.run_id] += 1
        if len(self._buffers["metrics"]) >= len(self._alive):
            self.flush()

    def layers(self, rows: Iterable[Sequence[Any]]) -> None:
        """Append rows of layers: run id, step, layer, quantity, value."""
        assert len(LAYERS.columns) == 5
        self.append("layers", rows)

    def end(self, event: RunEnd) -> None:
        """Append how a run ended, after its rows. The traceback of a crash goes into a separate file."""
        self.flush()
        self._check()
        crash = self.root / CRASHES / f"{event.run_id}.txt"
        if event.error:
            own_folder(crash.parent)
            write_file(crash, event.error.encode("utf-8", "backslashreplace"))
        elif event.status in RESULTS:
            remove(crash)
        values = {
            **{name: getattr(event, name, None) for name in self._tables["runs"].names},
            "stack": self.stack_id,
            "train_seconds": round(event.train_seconds, 6),
            "trains_below": self._trains_below.get(event.run_id),
            "rows": self._counts[event.run_id],
        }
        wide = ("train_seconds", "trains_below")  # not measured in the training dtype
        cells = [format_cell(v, "float64" if name in wide else self.dtype) for name, v in values.items()]
        self._keep("runs", cells)
        self.flush()
        if event.status in ENDED:
            self._alive.discard(event.run_id)

    def take_over(self, stack_id: str, lengths: Mapping[str, int]) -> None:
        """Copy the rows of this stack's runs from another stack's files, up to the lengths given."""
        for table, size in lengths.items():
            path = part_file(self.folder, stack_id, table)
            with explained(path, "read"):
                header, *rows = path.read_bytes()[:size].splitlines(keepends=True) or [b""]
            own = [row for row in rows if row.partition(b",")[0].decode() in self._trains_below]
            missing = len(self._tables[table].columns) - len(header.split(b","))  # in an older form
            own = [row.removesuffix(b"\n") + b"," * missing + b"\n" for row in own]
            self._buffers.setdefault(table, []).extend(own)
        self.flush()
        self._recount()

    def copy(self, table: str, rows: Iterable[Sequence[str]]) -> None:
        """Append rows of a table whose cells are text already, as another folder has them."""
        for cells in rows:
            self._keep(table, cells)
        self.flush()
        self._recount()

    def append(self, table: str, rows: Iterable[Sequence[Any]]) -> None:
        """Append rows of a table, with floats in the digits of the training dtype."""
        for row in rows:
            self._keep(table, [format_cell(value, self.dtype) for value in row])

    def _keep(self, table: str, cells: Sequence[str]) -> None:
        if self.closed:
            raise RecordsError(
                f"{self.folder}: the stack {self.stack_id} is closed; nothing more can be written"
            )
        assert len(cells) == len(self._tables[table].columns), (table, cells)
        self._buffers.setdefault(table, []).append(line(cells))

    def flush(self) -> None:
        """Hand all buffered rows to the operating system, so that a killed process does not lose them."""
        for table in PART_TABLES:  # the ends of runs last
            if self._buffers.get(table):
                self._write(table, b"".join(self._buffers[table]))
                self._buffers[table] = []

    def _write(self, table: str, data: bytes) -> None:
        path = part_file(self.folder, self.stack_id, table)
        with explained(path, "written"):
            if table not in self._descriptors:
                self._check()
                self._descriptors[table] = open_own(path)
            descriptor, size = self._descriptors[table], self._sizes.get(table, 0)
            if size == 0:
                data = line(self._tables[table].names) + data
            try:
                # An earlier write that was cut off (full disk, Ctrl-C) leaves a torn line: start after the
                # last complete one.
                os.ftruncate(descriptor, size)
                os.lseek(descriptor, size, os.SEEK_SET)
                left = memoryview(data)
                while left:
                    left = left[os.write(descriptor, left) :]
                self._sizes[table] = size + len(data)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, size)
                raise

    def length(self) -> dict[str, int]:
        """Sync all rows to disk and return the length of each part file in bytes, for a checkpoint."""
        self.flush()
        for table, descriptor in self._descriptors.items():
            with explained(part_file(self.folder, self.stack_id, table), "written"):
                os.fsync(descriptor)
        sync_folder(self.folder)
        return dict(self._sizes)

    def truncate_to(self, lengths: Mapping[str, int]) -> None:
        """Truncate the part files to the lengths in a checkpoint; a table without a length is emptied."""
        self._close_files()
        self._buffers = {}
        for table in PART_TABLES:
            path, size = part_file(self.folder, self.stack_id, table), int(lengths.get(table, 0))
            there = path.stat().st_size if path.exists() else 0
            if size > there:
                raise RecordsError(
                    f"{path}: has {there} bytes, the checkpoint expects {size}: the file was truncated or "
                    "replaced. Train the stack from its beginning"
                )
            if size == 0:
                remove(path)
                continue
            self._descriptors[table] = open_own(path)
            with explained(path, "written"):
                os.ftruncate(self._descriptors[table], size)
            self._sizes[table] = size
        self._recount()
        for table in ("metrics", "runs"):  # readers find a header from the start
            if table not in self._sizes:
                self._write(table, b"")

    def _recount(self) -> None:
        files = OpenFiles()
        part = Part(self.folder, self.stack_id, files)
        self._tables = {name: index.table for name, index in part.tables.items()}
        self._counts = Counter(part.tables["metrics"].counts)
        ended = {run_id for run_id in self._trains_below if part.status(run_id) in ENDED}
        self._alive = set(self._trains_below) - ended
        files.close()

    def _close_files(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])
        self._sizes = {}

    def close(self) -> None:
        """Sync all rows to disk and close, so that they can be merged. A second call does nothing."""
        try:
            if self._descriptors:
                self.length()
        finally:
            self._close_files()
            self.closed = True

    def __enter__(self) -> StackWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
