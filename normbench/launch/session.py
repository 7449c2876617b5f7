"""A session: everything that one `normbench run` of one config does, from the plan to the merged records."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from normbench.config import dump_config
from normbench.counts import counted
from normbench.data import load
from normbench.engine.exact import exact, exactness
from normbench.engine.heap import keep_freed_memory
from normbench.errors import NormbenchError
from normbench.launch.checkpoints import Checkpoints
from normbench.launch.choose import Wanted, choose_launcher
from normbench.launch.final_states import FinalStates
from normbench.launch.recorder import Recorder
from normbench.launch.replay import check_options, refuse_other_metrics, stacks_to_replay
from normbench.launch.reporter import Reporter
from normbench.names import RESULTS
from normbench.planning.estimate import estimate
from normbench.planning.plan import Plan
from normbench.planning.runs import RunSpec, Stack
from normbench.planning.shards import Shard
from normbench.records import ResultsFolder, holder_of
from normbench.records.shards import FOLDER as SHARDS
from normbench.records.shards import refuse_other_device, shards_of, whole_of


@dataclass(frozen=True)
class SessionOptions:
    """How a plan is trained and where its records go; `api.run` documents each of them."""

    results: Path
    launcher: Wanted = field(default_factory=Wanted)
    checkpoint_every: float | None = None
    keep_old: bool = False
    retry: Collection[str] = ()
    fail_fast: bool = False
    command: Sequence[str] | None = None
    shard: Shard | None = None
    keep_states: bool = False


@dataclass(frozen=True, repr=False)
class Finished:
    """What a session did.

    Attributes:
        folder: the experiment's results folder.
        plan: that was trained.
        trained: number of runs that ended.
        skipped: number of runs that had a result before.
        crashed: number of runs without a result, because they raised an exception.
        interrupted: whether the session was stopped.
        seconds: that it took.
        replayed: number of the skipped runs that were trained again for their rows of layers.csv.
        failed_fast: whether the session ended at its first crash because it was asked to.
        judged: with `--decide`, the verdicts that were judged, so that they are not judged again.
    """

    folder: Path
    plan: Plan
    trained: int
    skipped: int
    crashed: int
    interrupted: bool
    seconds: float
    replayed: int = 0
    failed_fast: bool = False
    judged: Any = None

    def __repr__(self) -> str:
        parts = [f"{counted(self.trained, 'run')} trained in {self.seconds:.1f} s"]
        numbers = {"there already": self.skipped, "crashed": self.crashed, "trained again": self.replayed}
        parts += [f"{number:,} {what}" for what, number in numbers.items() if number]
        parts += ["interrupted"] if self.interrupted else []
        return f"Finished({str(self.folder)!r}: {', '.join(parts)})"


class Session:
    """Trains what a plan asks for and its results folder does not have yet.

    Args:
        plan: to train; with `options.shard`, that part of it.
        options: how.
        reporter: hears about the progress.
        should_stop: asked after each chunk of steps; if true, the session ends with everything written.
    """

    def __init__(
        self,
        plan: Plan,
        options: SessionOptions,
        reporter: Reporter | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        self.options = options
        self.reporter = reporter or Reporter()
        self._told_to_stop = should_stop or (lambda: False)
        self.launcher = choose_launcher(plan, options.launcher)
        whole = options.results / plan.experiment.name
        self.folder = ResultsFolder(whole / SHARDS / options.shard.folder if options.shard else whole)
        if any(run.older for run in plan.runs):
            plan = plan.with_older_ids(self.folder.run_ids())
        self.plan = plan
        self.checkpoints = Checkpoints(self.folder, options.checkpoint_every)
        states = FinalStates(self.folder) if options.keep_states else None
        self.recorder = Recorder(plan, self.folder, self.checkpoints, self.reporter, states)
        self._skipped: set[str] = set()
        self._retried: set[str] = set()  # crashed runs that are still to be trained again
        self._ended: set[str] = set()  # runs of the rounds of this session
        self._replayed: list[RunSpec] = []
        self._round = 0
        self._exactness: dict[str, Any] = {}
        self._other_metrics: str | None = None

    def run(self) -> Finished:
        """Train until nothing is missing or the session is stopped.

        Raises:
            NormbenchError: config, data or results folder cannot be used; then nothing was written.
        """
        began = time.monotonic()
        self._load_data()
        root = self.folder.root
        for folder in (root, whole_of(root) or root, *shards_of(root)):
            check_options(self.plan, folder)
        refuse_other_device(root, self.plan.device)
        with closing(self.launcher), self.folder:
            self._open()
            stacks = self._first_round()
            while stacks and not self.recorder.tally.interrupted:
                self._train(stacks)
                stacks = self._next_round() if self.plan.searches and not self._failed_fast else []
            self._say(list(self.recorder.tally.faults.sentences()))
            if self._other_metrics is not None:
                raise NormbenchError(self._other_metrics)
            return self._finished(time.monotonic() - began)

    def _load_data(self) -> None:
        """Fetch the data of missing runs before anything is written, so that faulty data is an error now.

        A folder that lacks nothing needs no data: a book of finished experiments is passed over in seconds.
        """
        ends = self.folder.ends(self.plan)
        missing = set(self.plan.wanted({run: end[1] for run, end in ends.items() if self._kept(end[0])}))
        first: dict[int, RunSpec] = {}
        for run in self.plan.runs:
            if run.run_id in missing:
                first.setdefault(id(run.settings.data), run)
        for run in first.values():  # where data sets differ by seed, they are made of the same files
            load(run.settings.data.for_seed(run.seed), self.plan.data_dir)

    def _open(self) -> None:
        """Open the results folder and look which runs have ended."""
        self.folder.open_for_run(self.plan, dump_config(self.plan.experiment), self.options.keep_old)
        self._say(self.folder.warnings)
        whole = whole_of(self.folder.root)
        if whole is not None and (holder := holder_of(whole)):
            self._say([f"{whole}: is being written by {holder}; if that trains, it trains these runs, too"])
        for run_id, (status, _) in self.folder.ends().items():
            (self._skipped if self._kept(status) else self._retried).add(run_id)

    def _kept(self, status: str) -> bool:
        """Return whether a run that ended so is not to be trained again."""
        return status in RESULTS or "crashed" not in self.options.retry

    def _first_round(self) -> list[Stack]:
        """Return the first stacks to train, finished runs that lack probes included."""
        workers = self.launcher.workers
        replays, notes = stacks_to_replay(self.plan, self.folder, workers)
        stacks = [*self._next_round(), *replays]
        self._say(notes)
        self.checkpoints.keep_only({stack.stack_id for stack in stacks})
        self._replayed = [run for stack in replays for run in stack.runs]
        if stacks:
            self._say(
                self.folder.start_session(
                    self.plan.device, self.launcher.threads, self.options.command, workers
                )
            )
        if replays:
            self._say([f"{len(self._replayed):,} finished runs are trained again for layers.csv alone"])
        return stacks

    def _next_round(self) -> list[Stack]:
        """Return the stacks of missing runs: interrupted stacks as they were, and new ones for the others."""
        ended = {run: outcome for run, (_, outcome) in self.folder.ends().items() if run not in self._retried}
        missing = self.plan.wanted(ended)
        interrupted = self._interrupted_stacks()
        taken = {run.run_id for stack in interrupted for run in stack.runs}
        if not self.recorder.tally.interrupted and (again := self._ended & {*missing, *taken}):
            raise NormbenchError(
                f"{self.folder.root}: {len(again)} runs that this session trained to their end have none in "
                "the records, so the search would never end; train into a new folder and report this"
            )
        new, notes = self.plan.stacks_for(set(missing) - taken, workers=self.launcher.workers)
        self._say(notes)
        if self.plan.searches:  # readers of the folder see which runs of the search are pending
            self.folder.want(missing)
            self.folder.merge()
        return [*interrupted, *new]

    def _interrupted_stacks(self) -> list[Stack]:
        runs = {run.run_id: run for run in self.plan.runs}
        return [
            Stack(stack.stack_id, tuple(runs[run] for run in stack.runs), stack.executor)
            for stack in self.folder.open_stacks()
            if self.plan.executor in ("auto", stack.executor)
            and set(stack.runs) <= set(runs)
            and (self.options.shard is None or all(map(self.plan.asks, stack.runs)))
        ]

    def _train(self, stacks: Sequence[Stack]) -> None:
        """Train these stacks, and merge their records even if an error or Ctrl-C ends the training."""
        runs = [run for stack in stacks for run in stack.runs]
        self._retried -= {run.run_id for run in runs}
        self._round += 1
        if self.plan.searches:
            self._say([_round_text(self._round, runs)])
        self.reporter.start(sum(run.settings.train.steps for run in runs), len(runs))
        try:
            self._launch(stacks)
        finally:
            self.reporter.finish()
            self._other_metrics = self._other_metrics or refuse_other_metrics(self.folder, self._replayed)
            self.folder.merge()
            tally = self.recorder.tally
            memory = {"freed_memory": "kept" if keep_freed_memory() else "left to the system"}
            reason = {"compiling": self.plan.compiling} if self.plan.compiling else {}
            made = {**tally.made(), **self._exactness, **memory, **reason}
            self.folder.end_session(sorted(tally.executors), made)
        self._ended |= {run.run_id for run in runs}

    def _launch(self, stacks: Sequence[Stack]) -> None:
        try:
            with exact(self.plan.device):
                self._exactness = exactness(self.plan.device)
                if self.launcher.workers > 1:
                    stacks = estimate(self.plan).longest_first(stacks)
                self.launcher.train(self.recorder, stacks, self._should_stop)
        finally:
            self.recorder.close_all()

    def _finished(self, seconds: float) -> Finished:
        tally = self.recorder.tally
        replayed = {run.run_id for run in self._replayed}
        crashed = sum(status == "crashed" for status in self.folder.statuses().values())
        return Finished(
            folder=self.folder.root,
            plan=self.plan,
            trained=len(tally.trained - replayed),
            skipped=len(self._skipped),
            crashed=max(tally.crashed, crashed),
            interrupted=tally.interrupted and not self._failed_fast,
            seconds=seconds,
            replayed=len(tally.trained & replayed),
            failed_fast=self._failed_fast,
        )

    @property
    def _failed_fast(self) -> bool:
        """Return whether a run crashed in this session and that is to be its end."""
        return self.options.fail_fast and self.recorder.tally.crashed > 0

    def _should_stop(self) -> bool:
        return self._failed_fast or self._told_to_stop()

    def _say(self, sentences: Sequence[str]) -> None:
        for sentence in sentences:
            self.reporter.message(sentence)


def _round_text(number: int, runs: Sequence[RunSpec]) -> str:
    """Return what a round of the search for the edge of the learning rates trains."""
    refining = sum(run.refining for run in runs)
    what = f"{refining} between the largest rates that train and the next ones" if refining else "the scan"
    return f"search for the edge of the learning rates, round {number}: {len(runs):,} runs, {what}"
