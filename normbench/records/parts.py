"""The part files of a stack: what its writer appends while it trains, and how they are read.

`parts/<stack>.json` says who is in the stack and which executor trains it; beside it lie
`<stack>.metrics.csv`, `<stack>.runs.csv` (a row for each run that ended) and, with probes,
`<stack>.layers.csv`. Rows of a stack that was interrupted stay there until the stack is trained again or goes
on from a checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from normbench.errors import RecordsError
from normbench.names import ENDED, RESULTS
from normbench.records.files import explained, read_small, remove, sync_folder, write_file
from normbench.records.index import OpenFiles, RowIndex
from normbench.records.schema import LAYERS, METRICS, PART_RUNS, PART_TABLES, format_cell, line

if TYPE_CHECKING:
    from normbench.engine.events import Evaluation, Event, Layers, RunEnd

FOLDER = "parts"
CRASHES = "crashes"


class RunLike(Protocol):
    """What the records need of a run's specification (`normbench.planning.plan.RunSpec`)."""

    @property
    def run_id(self) -> str: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102
    @property
    def settings(self) -> Any: ...  # noqa: D102
    @property
    def values(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def refining(self) -> bool: ...  # noqa: D102  # listed only once it is asked for


class StackLike(Protocol):
    """What the records need of a stack (`normbench.planning.plan.Stack`)."""

    @property
    def stack_id(self) -> str: ...  # noqa: D102
    @property
    def runs(self) -> Sequence[RunLike]: ...  # noqa: D102
    @property
    def executor(self) -> str: ...  # noqa: D102


class PlanLike(Protocol):
    """What the records need of a plan (`normbench.planning.plan.Plan`)."""

    @property
    def runs(self) -> Sequence[RunLike]: ...  # noqa: D102
    @property
    def columns(self) -> Sequence[str]: ...  # noqa: D102


@dataclass(frozen=True)
class Manifest:
    """Who is in a stack. `order` counts the stacks of this folder: of two, the later one is the newer."""

    stack_id: str
    executor: str
    order: int
    runs: tuple[str, ...]
    resumable: bool = True  # no longer when runs left it, because the config no longer has them

    def write(self, folder: Path) -> None:
        """Write `<stack>.json`."""
        data = {**self.__dict__, "runs": list(self.runs)}
        write_file(part_file(folder, self.stack_id, None), (json.dumps(data, indent=1) + "\n").encode())


def part_file(folder: Path, stack_id: str, table: str | None) -> Path:
    """Return the path of a stack's part file of a table, of its manifest for None."""
    return folder / (f"{stack_id}.{table}.csv" if table else f"{stack_id}.json")


def remove_part(folder: Path, stack_id: str) -> None:
    """Remove a stack's files, in the order in which a part that is half removed counts for nothing."""
    for table in PART_TABLES:  # the rows first: an end without its rows is no result
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
            # Lost or damaged: the rows tell who was in it, but the stack cannot be put together again.
            ids = dict.fromkeys(run for table in self.tables.values() for run in table.run_ids())
            manifest = Manifest(stack_id, "", 0, tuple(ids), resumable=False)
        self.manifest = manifest
        self.members = frozenset(self.manifest.runs)
        self._ends = self._read_ends()
        self.results = frozenset(run_id for run_id, cells in self._ends.items() if cells["status"] in RESULTS)

    def _read_ends(self) -> dict[str, dict[str, str]]:
        ends: dict[str, dict[str, str]] = {}
        names = PART_RUNS.names
        for run_id in self.tables["runs"].run_ids():
            cells = dict(zip(names, self.tables["runs"].last(run_id) or (), strict=True))
            if int(cells["rows"] or 0) <= self.tables["metrics"].counts.get(run_id, 0):
                ends[run_id] = cells
        return {run_id: cells for run_id, cells in ends.items() if run_id in self.members}

    def end(self, run_id: str) -> dict[str, str] | None:
        """Return the cells of how a run ended here, None if it did not (or its rows are lost)."""
        return self._ends.get(run_id)

    def status(self, run_id: str) -> str | None:
        """Return `interrupted` for a run that has rows and no end here, None for one that never began."""
        end = self._ends.get(run_id)
        if end is not None:
            return end["status"]
        return "interrupted" if run_id in self.members and run_id in self.tables["metrics"] else None


def read_manifest(folder: Path, stack_id: str) -> Manifest | None:
    """Return a stack's manifest, None if it is not there or damaged."""
    path = part_file(folder, stack_id, None)
    try:
        with explained(path, "read"):
            data = json.loads(read_small(path))
        runs = tuple(str(run) for run in data["runs"])
        return Manifest(stack_id, str(data["executor"]), int(data["order"]), runs, bool(data["resumable"]))
    except (RecordsError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None


def stack_ids(root: Path) -> list[str]:
    """Return the stacks that have files in a results folder, in the order of their ids."""
    folder = root / FOLDER
    endings = [".json", *(f".{name}.csv" for name in PART_TABLES)]
    with explained(folder, "read"):
        try:
            names = sorted(path.name for path in folder.iterdir())
        except FileNotFoundError:
            return []
    return list(dict.fromkeys(name.split(".")[0] for name in names if name[name.find(".") :] in endings))


def read_parts(root: Path, files: OpenFiles) -> list[Part]:
    """Return the parts of a results folder, the newest stack first."""
    parts = [Part(root / FOLDER, stack_id, files) for stack_id in stack_ids(root)]
    return sorted(parts, key=lambda part: (-part.manifest.order, part.stack_id))


class StackWriter:
    """Appends what a stack measures to its part files; one writer for each stack, in one process.

    Rows are kept until each run of the stack that still trains has one, then written together.
    """

    def __init__(
        self, root: Path, stack: StackLike, order: int, lengths: Mapping[str, int] | None, dtype: str
    ) -> None:
        self.root, self.folder, self.stack_id = root, root / FOLDER, stack.stack_id
        self.dtype = dtype
        self._trains_below = {run.run_id: _trains_below(run) for run in stack.runs}
        self._buffers: dict[str, list[bytes]] = {}
        self._sizes: dict[str, int] = {}
        self._descriptors: dict[str, int] = {}
        self._counts: Counter[str] = Counter()
        self._alive: set[str] = set()
        self.closed = False
        with explained(self.folder, "written"):
            self.folder.mkdir(exist_ok=True)
        if lengths is None:
            remove_part(self.folder, self.stack_id)
        if lengths is None or not part_file(self.folder, self.stack_id, None).exists():
            Manifest(self.stack_id, stack.executor, order, tuple(self._trains_below)).write(self.folder)
        self.truncate_to(lengths or {})

    def write(self, event: Event) -> None:
        """Append an event of the engine."""
        if hasattr(event, "status"):
            self.end(cast("RunEnd", event))
        elif hasattr(event, "rows"):
            of_run = cast("Layers", event)
            self.layers([of_run.run_id, of_run.step, *row] for row in of_run.rows)
        else:
            self.evaluation(cast("Evaluation", event))

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
        """Append how a run ended, after all its rows; the traceback of a crash goes to a file of its own."""
        self.flush()
        crash = self.root / CRASHES / f"{event.run_id}.txt"
        if event.error:
            with explained(crash, "written"):
                crash.parent.mkdir(exist_ok=True)
            write_file(crash, event.error.encode("utf-8", "backslashreplace"))
        elif event.status in RESULTS:
            remove(crash)
        values = {
            **{name: getattr(event, name, None) for name in PART_RUNS.names},
            "stack": self.stack_id,
            "train_seconds": round(event.train_seconds, 6),
            "trains_below": self._trains_below.get(event.run_id),
            "rows": self._counts[event.run_id],
        }
        wide = ("train_seconds", "trains_below")  # Python's numbers, whatever dtype is trained in
        cells = [format_cell(v, "float64" if name in wide else self.dtype) for name, v in values.items()]
        self._keep("runs", cells)
        self.flush()
        if event.status in ENDED:
            self._alive.discard(event.run_id)

    def take_over(self, stack_id: str, lengths: Mapping[str, int]) -> None:
        """Copy the rows of this stack's runs from another one's files, as long as its checkpoint says."""
        for table, size in lengths.items():
            path = part_file(self.folder, stack_id, table)
            with explained(path, "read"):
                rows = path.read_bytes()[:size].splitlines(keepends=True)[1:]
            own = [row for row in rows if row.partition(b",")[0].decode() in self._trains_below]
            self._buffers.setdefault(table, []).extend(own)
        self.flush()
        self._recount()

    def append(self, table: str, rows: Iterable[Sequence[Any]]) -> None:
        """Append rows of any table by its columns; floats are written as the training dtype has them."""
        for row in rows:
            self._keep(table, [format_cell(value, self.dtype) for value in row])

    def _keep(self, table: str, cells: Sequence[str]) -> None:
        if self.closed:
            raise RecordsError(
                f"{self.folder}: the stack {self.stack_id} is closed; nothing more can be written"
            )
        assert len(cells) == len(PART_TABLES[table].columns), (table, cells)
        self._buffers.setdefault(table, []).append(line(cells))

    def flush(self) -> None:
        """Hand everything to the operating system: a process that is killed then loses nothing of it."""
        for table in PART_TABLES:  # the ends of runs last
            if self._buffers.get(table):
                self._write(table, b"".join(self._buffers[table]))
                self._buffers[table] = []

    def _write(self, table: str, data: bytes) -> None:
        path = part_file(self.folder, self.stack_id, table)
        with explained(path, "written"):
            if table not in self._descriptors:
                self._descriptors[table] = os.open(
                    path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666
                )
            descriptor, size = self._descriptors[table], self._sizes.get(table, 0)
            if size == 0:
                data = line(PART_TABLES[table].names) + data
            try:
                # A write that was cut off before (a full disk, Ctrl-C) leaves a torn line: begin behind the
                # last whole one.
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
        """Put all on disk and return the length of each part file in bytes, for a checkpoint."""
        self.flush()
        for table, descriptor in self._descriptors.items():
            with explained(part_file(self.folder, self.stack_id, table), "written"):
                os.fsync(descriptor)
        sync_folder(self.folder)
        return dict(self._sizes)

    def truncate_to(self, lengths: Mapping[str, int]) -> None:
        """Cut the part files to the lengths that a checkpoint names; a table it does not name is emptied."""
        self._close_files()
        self._buffers = {}
        for table in PART_TABLES:
            path, size = part_file(self.folder, self.stack_id, table), int(lengths.get(table, 0))
            there = path.stat().st_size if path.exists() else 0
            if size > there:
                raise RecordsError(
                    f"{path}: has {there} bytes, the checkpoint counts on {size}: the file was cut or "
                    "replaced. The stack has to be trained from its beginning"
                )
            if size == 0:
                remove(path)
                continue
            with explained(path, "written"):
                os.truncate(path, size)
            self._sizes[table] = size
        self._recount()
        for table in ("metrics", "runs"):  # readers find the headers from the start
            if table not in self._sizes:
                self._write(table, b"")

    def _recount(self) -> None:
        files = OpenFiles()
        part = Part(self.folder, self.stack_id, files)
        self._counts = Counter(part.tables["metrics"].counts)
        ended = {run_id for run_id in self._trains_below if part.status(run_id) in ENDED}
        self._alive = set(self._trains_below) - ended
        files.close()

    def _close_files(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])
        self._sizes = {}

    def close(self) -> None:
        """Put all on disk and close; the stack's rows can then be merged. A second call does nothing."""
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


def _trains_below(run: RunLike) -> float | None:
    value = getattr(getattr(getattr(run, "settings", None), "train", None), "trains_below", None)
    return None if value is None else float(value)
