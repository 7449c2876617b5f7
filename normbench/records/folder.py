"""The results folder of one experiment, for the process that trains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normbench.counts import counted
from normbench.errors import RecordsError
from normbench.names import ENDED, RESULTS
from normbench.records import environment
from normbench.records.claim_notes import note_claims
from normbench.records.contents import END_CELLS, Contents
from normbench.records.files import TEMPORARY, explained, refuse_links, remove
from normbench.records.gaps import evaluations_lost, incomplete, metrics_sentence, rows_by_step
from normbench.records.index import OpenFiles
from normbench.records.lock import FolderLock
from normbench.records.merge import merge
from normbench.records.orphans import (
    aside,
    find_orphans,
    of_other_seeds,
    refuse,
    set_aside,
    take_back,
    write_config,
)
from normbench.records.parts import (
    FOLDER,
    Part,
    StackWriter,
    part_file,
    read_manifest,
    remove_part,
    stack_ids,
)
from normbench.records.schema import count
from normbench.records.shards import Joining, shards_of, whole_of
from normbench.records.sources import keep
from normbench.records.summary import outcome_cell

if TYPE_CHECKING:
    from normbench.planning.plan import Plan
    from normbench.planning.runs import RunSpec, Stack


@dataclass(frozen=True)
class OpenStack:
    """A stack that began and did not end. When it continues, it keeps its executor and its members.

    `ended` are the members that already have a result because they diverged. Their rows are merged; they stay
    members so that the stack keeps its identity.
    """

    stack_id: str
    executor: str
    runs: tuple[str, ...]
    ended: frozenset[str]


class ResultsFolder:
    """One results folder: `open_for_run`, a `writer` for each stack, `merge` when stacks end, `close`.

    `warnings` collects sentences for the user about repaired files and runs that were kept aside.
    """

    def __init__(self, path: Path | str) -> None:
        self.root = Path(path)
        self.warnings: list[str] = []
        self._lock = FolderLock(self.root)
        self._plan: Plan | None = None
        self._writers: dict[str, StackWriter] = {}
        self._order = 0  # of the newest stack
        self._wanted: frozenset[str] = frozenset()
        self._others: tuple[RunSpec, ...] = ()  # finished runs of seeds that the config does not name

    def open_for_run(
        self, plan: Plan, config_text: str, keep_old: bool = False, skip_busy: bool = False
    ) -> None:
        """Lock the folder, refuse orphans or keep them aside, write the config, and merge what is there.

        Args:
            plan: the runs that the folder is for.
            config_text: the text of config.yaml.
            keep_old: whether to keep runs that are not in the plan aside instead of refusing them.
            skip_busy: whether to leave out shards that are being written instead of refusing them.

        Raises:
            RecordsError: another process holds the folder, its files are damaged beyond repair, or it has
                finished runs that are not in the plan and `keep_old` is false. The records are unchanged.
        """
        with explained(self.root, "written"):
            self.root.mkdir(parents=True, exist_ok=True)
        refuse_links(self.root)
        environment.check_format(self.root)
        self._lock.acquire()
        try:
            joining = Joining(self.root, skip_busy)
            shards = joining.check(plan, config_text, keep_old)
            with Contents(self.root) as contents:
                _refuse_missing_rows(contents, plan)
                orphans = find_orphans(contents, plan)
                self._others = of_other_seeds(contents, orphans, plan)
                kept = {run.run_id for run in self._others}
                orphans = [run_id for run_id in orphans if run_id not in kept]
                if not keep_old:
                    refuse(contents, orphans, plan, config_text)
                self._remove_leftovers()
                if kept:
                    seeds = ", ".join(map(str, sorted({run.seed for run in self._others})))
                    self.warnings.append(
                        f"{self.root} keeps {counted(len(kept), 'run')} of other seeds ({seeds}); figures "
                        "and claims leave them out while the config does not name them"
                    )
                if orphans:
                    aside = set_aside(contents, orphans)
                    gone = counted(len(orphans), "run")
                    self.warnings.append(f"{aside} keeps {gone} that the config no longer has")
                results = sum(contents.choose(run.run_id).status in RESULTS for run in plan.runs)
            self.check()
            self._take_back(plan)
            note_claims(self.root, config_text, results, shards)
            joining.take(plan)
            self.warnings += joining.said
            write_config(self.root, config_text)
            self._plan = plan
            self.merge()
            there = (read_manifest(self.root / FOLDER, stack_id) for stack_id in stack_ids(self.root))
            self._order = max((manifest.order for manifest in there if manifest), default=0)
        except BaseException:
            self.close()
            raise

    def _take_back(self, plan: Plan) -> None:
        """Take back the runs that an earlier session set aside and the plan has again."""
        with Contents(self.root) as contents:
            taken = take_back(contents, plan)
        for folder, number in taken.items():
            again = counted(number, "run")
            self.warnings.append(f"{again} that the config has again: taken back from {folder}")

    def _remove_leftovers(self) -> None:
        """Remove temporary files that a killed process did not rename."""
        for folder in (self.root, self.root / FOLDER):
            for path in folder.glob(f"*{TEMPORARY}") if folder.is_dir() else ():
                if path.is_symlink() or path.is_file():
                    remove(path)

    def run_ids(self) -> set[str]:
        """Return the runs that the folder has, also set aside or in shards, before it is opened."""
        found: set[str] = set()
        whole = whole_of(self.root) or self.root
        for root in (self.root, *aside(self.root), whole, *shards_of(whole)):
            if not root.is_dir():
                continue
            with Contents(root) as contents:
                found.update(contents.runs.run_ids(), *(part.members for part in contents.parts))
        return found

    def statuses(self) -> dict[str, str]:
        """Return the status of each run of the plan."""
        with Contents(self.root) as contents:
            return {run.run_id: contents.choose(run.run_id).status for run in self._opened().runs}

    def ends(self, plan: Plan | None = None) -> dict[str, tuple[str, str | None]]:
        """Return the status and outcome of each run that ended, of a plan or of the opened one."""
        found: dict[str, tuple[str, str | None]] = {}
        plan = plan or self._opened()
        if not self.root.is_dir():
            return found
        with Contents(self.root) as contents:
            for run in plan.runs:
                choice = contents.choose(run.run_id)
                if choice.status in ENDED:
                    cells = {name: choice.cells.get(name, "") for name in END_CELLS}
                    outcome = outcome_cell(cells, choice.status, run.settings.train.trains_below)
                    found[run.run_id] = choice.status, outcome or None
        return found

    def without_layers(self, expected: Mapping[str, set[tuple[str, int]]]) -> dict[str, str]:
        """Return the runs with a result that lack rows of layers.

        Args:
            expected: the (probe, step) of each measurement, by run. For a diverged run only those before its
                end count.

        Returns:
            The executor that trained each such run.
        """
        lacking = {}
        with Contents(self.root) as contents:
            for run in self._opened().runs:
                choice, wanted = contents.choose(run.run_id), expected.get(run.run_id)
                if not wanted or choice.status not in RESULTS:
                    continue
                end = choice.cells.get("diverged_at_step")
                if end:
                    wanted = {(probe, step) for probe, step in wanted if step < count(end)}
                rows = contents.rows("layers", run.run_id, choice)
                counts = rows_by_step(rows)
                there = {(probe, step) for probe, by_step in counts.items() for step in by_step}
                if wanted - (there - incomplete(counts)):
                    lacking[run.run_id] = choice.cells.get("executor", "")
        return lacking

    def other_metrics(self, run_ids: Iterable[str]) -> dict[str, str]:
        """Return the runs with a result that were trained again with other metrics, and the difference."""
        found = {}
        with Contents(self.root) as contents:
            for run_id in run_ids:
                choice = contents.choose(run_id)
                for part in contents.replays(run_id, choice):
                    if (text := contents.other_metrics(run_id, choice, part)) is not None:
                        found[run_id] = text
        return found

    def want(self, run_ids: Iterable[str]) -> None:
        """List these runs of a search in runs.csv from the next merge on; pending until they begin."""
        self._wanted = frozenset(run_ids)

    def finished_ids(self) -> set[str]:
        """Return the runs of the plan with a result, which are never trained again."""
        return {run_id for run_id, status in self.statuses().items() if status in RESULTS}

    def open_stacks(self) -> list[OpenStack]:
        """Return the stacks that were interrupted, newest first. No run is in two of them.

        A stack keeps its id whether `writer` continues it (with the lengths of its checkpoint) or trains it
        from its beginning (without).
        """
        known = {run.run_id for run in self._opened().runs}
        taken: set[str] = set()
        stacks = []
        with Contents(self.root) as contents:
            for part in contents.parts:
                if not part.manifest.resumable or part.members & taken or not part.members <= known:
                    continue
                if part.stack_id in self._in_use() or not contents.unfinished(part):
                    continue
                taken |= part.members
                ended = frozenset(run for run in part.members if contents.choose(run).status in RESULTS)
                stacks.append(OpenStack(part.stack_id, part.manifest.executor, part.manifest.runs, ended))
        return stacks

    def writer(
        self, stack: Stack, *, lengths: Mapping[str, int] | None = None, dtype: str | None = None
    ) -> StackWriter:
        """Return the writer of a stack.

        Args:
            stack: the stack to write.
            lengths: the lengths of its part files at the checkpoint from which it continues. By default it
                starts from its beginning: its part files are emptied, after results in them are merged.
            dtype: the training dtype, by default that of the first run.

        Raises:
            RecordsError: the stack has an open writer, or a part file is shorter than its length.
        """
        plan = self._opened()
        if stack.stack_id in self._in_use():
            raise RecordsError(f"{self.root}: the stack {stack.stack_id} is already being written")
        self.check()
        if self._would_lose_ends(stack.stack_id, lengths or {}):
            self._merge(plan, {*self._in_use(), stack.stack_id})
        self._order += 1
        if dtype is None:
            dtype = stack.runs[0].settings.train.dtype
        writer = StackWriter(self.root, stack, self._order, lengths, dtype, self.check)
        self._writers[stack.stack_id] = writer
        return writer

    def _would_lose_ends(self, stack_id: str, lengths: Mapping[str, int]) -> bool:
        """Return whether a stack's part files have ends of runs behind these lengths.

        A merge visits all runs of the folder, so a stack that lost its node must not cause one for nothing.
        """
        path, kept = part_file(self.root / FOLDER, stack_id, "runs"), lengths.get("runs", 0)
        with explained(path, "read"):
            lines = path.read_bytes().count(b"\n", kept) if path.exists() else 0
        return lines > (0 if kept else 1)  # the header

    def drop(self, stack_id: str) -> frozenset[str]:
        """Remove the part files of a stack that is trained no more; results in them are merged before.

        Returns:
            The runs with a result in them.
        """
        self.check()
        files = OpenFiles()
        try:
            results = Part(self.root / FOLDER, stack_id, files).results
        finally:
            files.close()
        if results:
            self.merge()
        remove_part(self.root / FOLDER, stack_id)
        return results

    def can_go_on(self, stack_id: str, lengths: Mapping[str, int]) -> bool:
        """Return whether the part files of a stack have at least the lengths in its checkpoint."""
        paths = {part_file(self.root / FOLDER, stack_id, table): size for table, size in lengths.items()}
        return all(path.is_file() and path.stat().st_size >= size for path, size in paths.items())

    def merge(self, plan: Plan | None = None) -> None:
        """Merge what is measured so far into the merged files; parts that are being written stay."""
        for writer in self._writers.values():
            writer.flush()
        self._merge(plan or self._opened(), self._in_use())

    def _merge(self, plan: Plan, in_use: set[str]) -> None:
        self.warnings += merge(self.root, plan, self.check, in_use, self._wanted, self._others)

    def check(self) -> None:
        """Raise RecordsError if the path leads to another folder than the one that this process holds."""
        self._lock.check()

    def _in_use(self) -> set[str]:
        return {stack_id for stack_id, writer in self._writers.items() if not writer.closed}

    def start_session(
        self, device: str, threads: int | None, command: Sequence[str] | None = None, workers: int = 1
    ) -> list[str]:
        """Append this session to environment.json, and keep the sources of its plug-ins.

        Call it only if there is something to train.

        Args:
            device: the device that trains.
            threads: the number of torch's threads in each worker, None for torch's default.
            command: the words of the command, by default `sys.argv`.
            workers: the number of processes that train.

        Returns:
            A sentence if torch or the machine is another one than in the session before.
        """
        from normbench.plugins import loaded  # imports torch, which readers of records do not need

        self.check()
        keep(self.root, loaded())
        return environment.start_session(self.root, environment.facts(device, threads, command, workers))

    def end_session(self, executors: Iterable[str] = (), made: Mapping[str, Any] | None = None) -> None:
        """Write the end of the session, the executors it used, and what it `made`."""
        self.check()
        environment.end_session(self.root, executors, made)

    def close(self) -> None:
        """Close the writers, which write what they hold, and release the lock."""
        try:
            for writer in self._writers.values():
                writer.close()
        finally:
            self._writers = {}
            self._lock.release()

    def __enter__(self) -> ResultsFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _opened(self) -> Plan:
        if self._plan is None:
            raise RecordsError(f"{self.root}: not open; call open_for_run(plan, config_text) first")
        return self._plan


def _refuse_missing_rows(contents: Contents, plan: Plan) -> None:
    """Raise RecordsError if rows of a finished run are gone from metrics.csv, but not its last one."""
    planned = {run.run_id: run.settings.train.evaluation_steps for run in plan.runs}
    runs = (contents.runs.cells(run_id) for run_id in contents.runs.run_ids())
    if lost := evaluations_lost(contents, runs, lambda cells: planned.get(cells["run_id"])):
        raise RecordsError(metrics_sentence(contents, lost))
