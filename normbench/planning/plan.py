"""From a config to what is trained: runs with their ids, and the stacks that they form.

The same config, with the same memory, gives the same plan. Each architecture is built once; no image is read.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from normbench.config import Experiment
from normbench.errors import PlanError, did_you_mean, one_of
from normbench.markup import html_table
from normbench.memo import Memo
from normbench.names import DEVICES, EXECUTORS
from normbench.nn.inductor import missing
from normbench.planning.memory import PROCESS_BYTES, divide_to_fit
from normbench.planning.refusals import refuse_impossible, unserved
from normbench.planning.run_id import canonical, data_identity, digest, spelled, written
from normbench.planning.runs import RunSpec, Stack
from normbench.planning.stacks import form_stacks, part_of_stack, stack_of
from normbench.plugins import used_by
from normbench.stats.edge_search import Search, rehearse

_Content = Callable[..., str]  # of settings: their part of a run's id


@dataclass(frozen=True, repr=False)
class Plan:
    """What a config asks for, in the order of the records.

    Attributes:
        experiment: the config.
        runs: all runs; with a search for the edge of the learning rates, all that it may make.
        columns: swept keys, the columns of runs.csv.
        device: that trains the runs.
        executor: as asked for, `auto` or a name.
        data_dir: folder of the data sets.
        remarks: sentences for the user about the config.
        searches: one for each cell (all its learning rates together) and seed that is searched.
        memory: bytes that are free on the device; stacks are divided until they fit.
        executors: by what the runs of a stack have in common: the executor to take instead of the usual one.
        asked: ids of the runs to train, if not all: `--decide` gives some cells more seeds than others, and
            `--shard` trains a part.
        units: with `--shard`, its stacks: what is left of one is trained apart from the others.
        compiling: which stacks `auto` compiles, and why, for environment.json; empty if it had no choice.
    """

    experiment: Experiment
    runs: tuple[RunSpec, ...]
    columns: tuple[str, ...]
    device: str
    executor: str
    data_dir: Path | None
    remarks: tuple[str, ...] = ()
    searches: tuple[Search, ...] = ()
    memory: float = math.inf
    executors: Mapping[str, str] = field(default_factory=dict)
    asked: frozenset[str] | None = None
    units: tuple[Stack, ...] = ()
    compiling: str = ""

    def __repr__(self) -> str:
        """Return one line; a plan may have thousands of runs."""
        swept = f"swept: {', '.join(self.columns)}" if self.columns else "nothing swept"
        return f"<Plan {self.experiment.name}: {len(self.runs):,} runs on {self.device}, {swept}>"

    def _repr_html_(self) -> str:
        """Return the cells with their runs for a notebook."""
        cells: dict[tuple[Any, ...], list[RunSpec]] = {}
        for run in self.runs:
            cells.setdefault(tuple(run.values[key] for key in self.columns), []).append(run)
        heads = [*self.columns, "runs", "steps"]
        rows = [[*key, len(runs), runs[0].settings.train.steps] for key, runs in cells.items()]
        title = f"{self.experiment.name}: {len(self.runs):,} runs in {len(self.stacks):,} stacks"
        return html_table(f"{title}, on {self.device}", heads, rows, self.notes)

    @property
    def stacks(self) -> tuple[Stack, ...]:
        """Return the stacks that train if nothing is finished yet.

        With a search, these are the stacks of its first round, and then those that follow if every edge lies
        in the middle of its range.
        """
        return self._stacks_and_notes[0]

    @property
    def notes(self) -> list[str]:
        """Return what the user should know before training."""
        return [*self.remarks, *self._stacks_and_notes[1]]

    @cached_property
    def _stacks_and_notes(self) -> tuple[tuple[Stack, ...], list[str]]:
        return self._form([self.wanted({}), *rehearse(self._asked_searches)])

    @property
    def _asked_searches(self) -> list[Search]:
        return [search for search in self.searches if all(map(self.asks, search.ids))]

    def runs_of_seeds(self, seeds: Sequence[int]) -> list[RunSpec]:
        """Return the runs that the same cells have with these seeds."""
        return _runs(self.experiment, seeds, _content(self.data_dir))

    def stacks_for(
        self, run_ids: Iterable[str], *, executor: str | None = None, workers: int = 1
    ) -> tuple[tuple[Stack, ...], list[str]]:
        """Return the stacks that train these runs of the plan, and a sentence about each that was divided.

        Args:
            run_ids: of the runs to train; for those of the first round, the result is `stacks`.
            executor: in place of the plan's.
            workers: processes that share the memory.
        """
        return self._form([run_ids], executor, workers)

    def _form(
        self, rounds: Iterable[Iterable[str]], executor: str | None = None, workers: int = 1
    ) -> tuple[tuple[Stack, ...], list[str]]:
        stacks: list[Stack] = []
        for run_ids in map(set, rounds):
            if self.units:
                parts = (part_of_stack(unit, run_ids, executor) for unit in self.units)
                stacks += [part for part in parts if part is not None]
                continue
            runs = [run for run in self.runs if run.run_id in run_ids]
            stacks += form_stacks(
                runs,
                self.device,
                executor or self.executor,
                self.data_dir,
                self.experiment.probes,
                self.executors,
            )
        room = self.memory / workers - (PROCESS_BYTES if self.device == "cpu" else 0.0)
        return divide_to_fit(stacks, self.data_dir, room)

    def wanted(self, outcomes: Mapping[str, str | None]) -> list[str]:
        """Return the ids of the runs to train next, given the outcomes of all that ended."""
        asked = {run_id for search in self._asked_searches for run_id in search.wanted(outcomes)}
        asked |= {
            run.run_id
            for run in self.runs
            if not run.refining and self.asks(run.run_id) and run.run_id not in outcomes
        }
        return [run.run_id for run in self.runs if run.run_id in asked]

    def asks(self, run_id: str) -> bool:
        """Return whether a run is to be trained (if it refines an edge: as soon as its search wants it)."""
        return self.asked is None or run_id in self.asked

    def of_asked(self) -> Plan:
        """Return the plan that knows of no other runs than those that it asks for."""
        return replace(
            self,
            runs=tuple(run for run in self.runs if self.asks(run.run_id)),
            searches=tuple(self._asked_searches),
        )

    def limited_to(self, seeds_of: Sequence[Collection[int]], seeds: Sequence[int]) -> Plan:
        """Return the plan that asks for some of the runs, and knows of no other seeds.

        Args:
            seeds_of: for each cell of the experiment, the seeds that are asked for.
            seeds: all of these, as config.yaml lists them.
        """
        known, each = set(seeds), len(self.experiment.seeds)
        runs = [(place // each, run) for place, run in enumerate(self.runs) if run.seed in known]
        ids = {run.run_id for _, run in runs}
        raw = {**self.experiment.raw, "seeds": list(seeds)}
        return replace(
            self,
            experiment=replace(self.experiment, seeds=list(seeds), raw=raw),
            runs=tuple(run for _, run in runs),
            searches=tuple(search for search in self.searches if search.ids[0] in ids),
            asked=frozenset(run.run_id for cell, run in runs if run.seed in seeds_of[cell]),
        )

    def with_older_ids(self, there: Collection[str]) -> Plan:
        """Return the plan with the ids that older versions gave to its runs, where `there` has them.

        So a results folder of such a version goes on under its own ids.
        """
        older = {
            run.run_id: found
            for run in self.runs
            if run.older
            and (found := next((id_ for id_ in run.ids if id_ in there), run.run_id)) != run.run_id
        }
        if not older:
            return self

        def renamed(runs: Sequence[RunSpec]) -> tuple[RunSpec, ...]:
            return tuple(replace(run, run_id=older.get(run.run_id, run.run_id)) for run in runs)

        return replace(
            self,
            runs=renamed(self.runs),
            units=tuple(stack_of(renamed(unit.runs), unit.executor) for unit in self.units),
            searches=tuple(
                replace(search, ids=tuple(older.get(run_id, run_id) for run_id in search.ids))
                for search in self.searches
            ),
            asked=self.asked and frozenset(older.get(run_id, run_id) for run_id in self.asked),
        )

    def most_runs(self, runs: Sequence[RunSpec] | None = None) -> int:
        """Return the most runs that are trained: of all, or of whole cells with all their learning rates."""
        ids = {run.run_id for run in (self.runs if runs is None else runs)}
        mine = [search for search in self.searches if search.ids[0] in ids]
        return len(ids) + sum(search.most_runs - len(search.ids) for search in mine)


def make_plan(
    experiment: Experiment,
    data_dir: str | Path | None = None,
    device: str = "auto",
    executor: str = "auto",
    memory: float = math.inf,
    executors: Mapping[str, str] | None = None,
    remarks: Sequence[str] = (),
) -> Plan:
    """Return the plan of an experiment.

    Args:
        experiment: the config.
        data_dir: folder of the data sets, unless the config names one.
        device: one of `DEVICES`.
        executor: one of `EXECUTORS`.
        memory: bytes that the stacks may take on the device.
        executors: with `auto`, those to take in place of the usual ones, by `stack_key`.
        remarks: sentences for the user.

    Raises:
        PlanError: the device or executor is unknown or absent, or some combinations cannot be trained.
    """
    device = choose_device(device)
    _refuse_float64(experiment, device)
    if executor not in EXECUTORS:
        raise PlanError(
            f"--executor: '{executor}' is unknown; {did_you_mean(executor, EXECUTORS)}{one_of(EXECUTORS)}"
        )
    if executor == "compiled":
        _refuse_compiled(device)
    folder = None if data_dir is None else Path(data_dir)
    refuse_impossible(experiment, folder)
    unmeasured = unserved(experiment, folder)
    content = _content(folder)
    runs = _runs(experiment, experiment.seeds, content)
    searches = _searches(experiment, runs, content)
    remarks = [*experiment.merged, *experiment.warnings, *unmeasured, *remarks]
    return Plan(
        experiment=experiment,
        runs=tuple(runs),
        columns=tuple(experiment.columns),
        device=device,
        executor=executor,
        data_dir=folder,
        remarks=(*remarks, *(search.note for search in searches[:1])),
        searches=searches,
        memory=memory,
        executors=executors or {},
    )


def _content(data_dir: Path | None) -> _Content:
    """Return the function that gives a cell's part of its run ids; equal sections are written once."""
    return partial(canonical, written=Memo(written), data=Memo(partial(data_identity, data_dir)))


def _runs(experiment: Experiment, seeds: Sequence[int], text_of: _Content) -> list[RunSpec]:
    """Return a run for each cell and seed, in the order of the file."""
    runs = []
    for cell in experiment.cells:
        texts = [text_of(cell.settings)]
        if used_by(cell.settings):
            texts.append(text_of(cell.settings, older=True))
        for seed in seeds:
            hashes = [digest(f"{text}/{seed}", 12) for text in texts]
            run_id = spelled(hashes[0])
            older = tuple(hashed for hashed in hashes if hashed != run_id)
            runs.append(RunSpec(run_id, seed, cell.settings, cell.values, cell.refining, cell.decided, older))
    if twice := [run_id for run_id, count in Counter(run.run_id for run in runs).items() if count > 1]:
        raise PlanError(
            f"two different runs have the id {twice[0]}, which is a hash of 48 bits: a rare chance among "
            f"{len(runs):,} runs; change the seeds, or divide the sweep into two configs"
        )
    return runs


def _searches(
    experiment: Experiment, runs: Sequence[RunSpec], content: Callable[[Any], str]
) -> tuple[Search, ...]:
    """Return a search for each cell and seed that refines its learning rates, which it takes together.

    `content` returns the text of everything that can change the numbers of a cell.
    """
    if not any(run.refining for run in runs):
        return ()
    groups: dict[tuple[str, int], list[RunSpec]] = {}
    left = iter(runs)
    for cell in experiment.cells:
        any_lr = cell.settings.optimizer.model_copy(update={"lr": 1.0})
        text = content(cell.settings.model_copy(update={"optimizer": any_lr}))
        for seed in experiment.seeds:
            groups.setdefault((text, seed), []).append(next(left))
    return tuple(
        Search(
            tuple(run.run_id for run in group),
            tuple(float(run.settings.optimizer.lr) for run in group),
            tuple(not run.refining for run in group),
        )
        for group in (sorted(one, key=lambda run: run.settings.optimizer.lr) for one in groups.values())
        if any(run.refining for run in group)
    )


def _refuse_float64(experiment: Experiment, device: str) -> None:
    """Raise a `PlanError` where a cell asks for numbers that the device does not have."""
    if device == "mps" and any(cell.settings.train.dtype == "float64" for cell in experiment.cells):
        raise PlanError(
            "train.dtype: float64 cannot be trained on mps, which has no such numbers; use --device cpu, or "
            "train.dtype: float32"
        )


def _refuse_compiled(device: str) -> None:
    """Raise a `PlanError` where nothing can be compiled."""
    lacks = missing() if device == "cpu" else f"it compiles for a CPU, and the device is {device}"
    if lacks is not None:
        raise PlanError(f"--executor compiled: {lacks}; use --executor vectorized")


def about_device(device: str) -> list[str]:
    """Return a sentence if `auto` leaves a device of this machine unused."""
    if device != "auto" or choose_device(device) != "cpu" or not torch.backends.mps.is_available():
        return []
    return [
        "this machine has mps, but auto trains on the cpu: mps has no float64 and few of its results were "
        "compared with those of a cpu; --device mps takes it"
    ]


def choose_device(device: str) -> str:
    """Return the device to train on; `auto` takes a CUDA device if there is one, otherwise the CPU."""
    if device == "cpu":
        return device
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device not in DEVICES:
        raise PlanError(f"--device: '{device}' is unknown; {did_you_mean(device, DEVICES)}{one_of(DEVICES)}")
    available = torch.cuda.is_available() if device == "cuda" else torch.backends.mps.is_available()
    if not available:
        raise PlanError(f"--device: this machine or this torch has no '{device}'; use --device cpu")
    return device
