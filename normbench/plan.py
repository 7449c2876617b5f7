"""From a config to what is trained: run specifications with their ids, and the stacks that they form.

Pure: the same config gives the same plan. Each architecture is built once; no image is read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from normbench.config import SECTIONS, Experiment, Settings
from normbench.data import Peek, peek
from normbench.data.base import DataOptions
from normbench.edge import Search, rehearse
from normbench.errors import NormbenchError, PlanError, did_you_mean, one_of
from normbench.identity import Once, canonical, data_identity, digest, written
from normbench.net_cost import net_cost, refusal
from normbench.options import Options
from normbench.plugins import blame
from normbench.probes import Probe

EXECUTOR_CHOICES = ("auto", "vectorized", "looped")
DEVICE_CHOICES = ("auto", "cpu", "cuda", "mps")

# How many runs make a stack on a CPU (benchmarks/stack_size.py). More runs spare calls and divide evenly
# among the cores, up to weights far beyond the caches, which are trained at the memory's speed; smaller
# stacks keep all cores busy to the end of a sweep. Runs of one seed share their batch; others need a copy
# each, which pays where the images are small and the calls of a step, which a larger stack spares, take
# longer than copying this many bytes.
CPU_STACK_BYTES = 48 * 2**20
CPU_STACK_RUNS = 64
CPU_STEP_BYTES = 750_000
GPU_STACK_RUNS = 1024


@dataclass(frozen=True)
class RunSpec:
    """One run: its settings, its seed, and the id that hashes both."""

    run_id: str
    seed: int
    settings: Settings
    values: Mapping[str, Any]
    refining: bool = False  # trained only where the search for the edge of the rates asks for it


@dataclass(frozen=True)
class Stack:
    """Runs that train together, by one executor."""

    stack_id: str
    runs: tuple[RunSpec, ...]
    executor: str


@dataclass(frozen=True)
class Plan:
    """What a config asks for, in the order in which the records list it.

    With a search for the edge of the rates, `runs` are all runs that it may make, `stacks` the first round
    and those that follow if every edge lies in the middle of the range.
    """

    experiment: Experiment
    runs: tuple[RunSpec, ...]
    stacks: tuple[Stack, ...]
    columns: tuple[str, ...]
    device: str
    executor: str  # as asked for: auto or a forced one
    data_dir: Path | None
    notes: list[str] = field(default_factory=list)
    searches: tuple[Search, ...] = ()

    def wanted(self, outcomes: Mapping[str, str | None]) -> list[str]:
        """Return the ids of the runs to train next, given the outcomes of all that ended (None: crashed)."""
        asked = {run_id for search in self.searches for run_id in search.wanted(outcomes)}
        asked |= {run.run_id for run in self.runs if not run.refining and run.run_id not in outcomes}
        return [run.run_id for run in self.runs if run.run_id in asked]

    def most_runs(self, runs: Sequence[RunSpec] | None = None) -> int:
        """Return how many runs are trained at most; of all, or of whole cells with all their rates."""
        ids = {run.run_id for run in (self.runs if runs is None else runs)}
        mine = [search for search in self.searches if search.ids[0] in ids]
        return len(ids) + sum(search.most_runs - len(search.ids) for search in mine)

    def stacks_of(self, run_ids: Iterable[str]) -> tuple[Stack, ...]:
        """Return the stacks for these runs of the plan alone (what is left to train)."""
        wanted = set(run_ids)
        mine = [run for run in self.runs if run.run_id in wanted]
        return form_stacks(mine, self.device, self.executor, self.data_dir, self.experiment.probes)


def make_plan(
    experiment: Experiment,
    data_dir: str | Path | None = None,
    device: str = "auto",
    executor: str = "auto",
) -> Plan:
    """Return the plan of an experiment; a combination that cannot be trained raises a `PlanError`."""
    device = choose_device(device)
    if executor not in EXECUTOR_CHOICES:
        raise PlanError(
            f"--executor: '{executor}' is unknown; {did_you_mean(executor, EXECUTOR_CHOICES)}"
            f"{one_of(EXECUTOR_CHOICES)}"
        )
    folder = None if data_dir is None else Path(data_dir)
    _refuse_impossible(experiment, folder)
    unserved = _unserved(experiment, folder)
    content = Once(partial(canonical, written=Once(written), data=Once(partial(data_identity, folder))))
    runs = []
    for cell in experiment.cells:
        text = content(cell.settings)
        runs += [
            RunSpec(digest(f"{text}/{seed}", 12), seed, cell.settings, cell.values, cell.refining)
            for seed in experiment.seeds
        ]
    searches = _searches(experiment, runs, content)
    probes = experiment.probes
    stacks = form_stacks([run for run in runs if not run.refining], device, executor, folder, probes)
    for ids in rehearse(searches):
        found = [run for run in runs if run.run_id in ids]
        stacks += form_stacks(found, device, executor, folder, probes)
    return Plan(
        experiment=experiment,
        runs=tuple(runs),
        stacks=stacks,
        columns=tuple(experiment.columns),
        device=device,
        executor=executor,
        data_dir=folder,
        notes=[
            *experiment.merged,
            *experiment.warnings,
            *unserved,
            *(search.note for search in searches[:1]),
        ],
        searches=searches,
    )


def _searches(
    experiment: Experiment, runs: Sequence[RunSpec], content: Callable[[Any], str]
) -> tuple[Search, ...]:
    """Return a search for each cell (but for its rate) and seed that has rates between scan points.

    `content`: the text of all that can change the numbers of a cell.
    """
    if not any(run.refining for run in runs):
        return ()
    groups: dict[tuple[str, int], list[RunSpec]] = {}
    left = iter(runs)
    for cell in experiment.cells:
        any_rate = cell.settings.optimizer.model_copy(update={"lr": 1.0})
        text = content(cell.settings.model_copy(update={"optimizer": any_rate}))
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


def choose_device(device: str) -> str:
    """Return the device to train on; `auto` takes a CUDA card where there is one, else the CPU."""
    if device == "cpu":
        return device
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device not in DEVICE_CHOICES:
        raise PlanError(
            f"--device: '{device}' is unknown; {did_you_mean(device, DEVICE_CHOICES)}{one_of(DEVICE_CHOICES)}"
        )
    there = torch.cuda.is_available() if device == "cuda" else torch.backends.mps.is_available()
    if not there:
        raise PlanError(f"--device: this machine or this torch has no '{device}'; use --device cpu")
    return device


def _refuse_impossible(experiment: Experiment, data_dir: Path | None) -> None:
    """Raise with one line for each distinct reason."""
    reasons: dict[str, int] = {}
    judged: dict[tuple[Any, Any], str | None] = {}
    for cell in experiment.cells:
        model, data = cell.settings.model, cell.settings.data
        if (model, data) not in judged:
            judged[model, data] = _refusal(model, data, data_dir)
        reason = judged[model, data]
        if reason:
            norm, depth = model.norm.name, getattr(model, "depth", "")
            line = f"{model.name} (depth {depth}) with {norm}: {reason}"
            reasons[line] = reasons.get(line, 0) + 1
    if reasons:
        lines = [f"{line} ({count} cells)" for line, count in reasons.items()]
        raise PlanError(
            "\n".join(["these combinations cannot be trained; leave them out with `exclude`:", *lines])
        )


def _refusal(model: Any, data: DataOptions, data_dir: Path | None) -> str | None:
    info = _peek(data, data_dir)
    try:
        return refusal(model, info.input_shape, info.classes, data.batch_size)
    except NormbenchError:
        raise
    except Exception as error:
        fault = blame(error)
        if fault is None:
            raise
        raise PlanError(f"{fault} (while '{model.name}' with '{model.norm.name}' is built)") from error


def _unserved(experiment: Experiment, data_dir: Path | None) -> list[str]:
    """Return what of the probes is not measured in which cells; raise where one serves no cell at all."""
    found: dict[tuple[str, str], int] = {}
    served: set[str] = set()
    judged: dict[tuple[str, Any, int], tuple[bool, str]] = {}
    for cell in experiment.cells:
        for probe in experiment.probes:
            key = (probe.name, cell.settings.model, cell.settings.train.steps)
            if key not in judged:
                judged[key] = _serves(probe, cell.settings, data_dir)
            serves, reason = judged[key]
            if serves:
                served.add(probe.name)
            if reason:
                found[probe.name, reason] = found.get((probe.name, reason), 0) + 1
    lines = {key: f"probe {key[0]}, {key[1]} ({count} cells)" for key, count in found.items()}
    if hopeless := [line for (name, _), line in lines.items() if name not in served]:
        raise PlanError("\n".join(["these probes cannot be measured; take them out:", *hopeless]))
    return [f"not measured: {line}" for line in lines.values()]


def _serves(probe: Probe, settings: Settings, data_dir: Path | None) -> tuple[bool, str]:
    """Say whether a probe measures anything in these runs, and what it does not measure and why."""
    model, last = settings.model, settings.train.steps
    reason = probe.refuses(_net(model, _peek(settings.data, data_dir).input_shape), settings)
    if reason is not None:
        return False, f"{model.name} with {model.norm.name}: {reason}"
    beyond = [step for step in probe.steps or () if step > last]
    text = f"its step {max(beyond)} lies beyond the last one, {last}" if beyond else ""
    return bool(probe.schedule(last, [0])), text


def served_probes(probes: Iterable[Probe], settings: Settings, data_dir: Path | None) -> list[Probe]:
    """Return the probes that can be measured in runs of these settings."""
    return [probe for probe, _ in probe_costs(probes, settings, data_dir, "looped")]


def probe_costs(
    probes: Iterable[Probe], settings: Settings, data_dir: Path | None, executor: str
) -> list[tuple[Probe, float]]:
    """Return the same, each with the training steps that one measurement takes."""
    chosen = list(probes)
    if not chosen:
        return []
    net = _net(settings.model, _peek(settings.data, data_dir).input_shape)
    return [(probe, probe.cost_in(net, executor)) for probe in chosen if probe.refuses(net, settings) is None]


@lru_cache(maxsize=256)
def _net(model: Any, input_shape: tuple[int, ...]) -> Any:
    """Return a net without storage, for its parts and their names."""
    import torch

    with torch.device("meta"):
        return model.build(input_shape, 2)


@lru_cache(maxsize=256)
def _peek(data: DataOptions, data_dir: Path | None) -> Peek:
    return peek(data, data_dir)


def _in_common(section: Options) -> str:
    return json.dumps(section.in_common(), sort_keys=True)


def stack_key(settings: Settings, in_common: Callable[[Any], str] = _in_common) -> str:
    """Return what the runs of a stack have in common: all but what may differ lane by lane.

    `in_common`: of a section; for many settings one that remembers.
    """
    return "\n".join(in_common(getattr(settings, name)) for name in SECTIONS)


def form_stacks(
    runs: Sequence[RunSpec], device: str, executor: str, data_dir: Path | None, probes: Iterable[Probe]
) -> tuple[Stack, ...]:
    """Group runs of equal shapes into stacks, seed by seed, each as large as its device takes well.

    A probe of whole stacks keeps seeds apart: one measurement for several were no independent repetition. And
    it goes seed by seed through all groups, so that a machine slow for a while is so to each of them.
    """
    apart = any(probe.of_stack for probe in probes)
    groups: dict[str, list[RunSpec]] = {}
    key = Once(partial(stack_key, in_common=Once(_in_common)))
    for run in runs:
        groups.setdefault(key(run.settings), []).append(run)
    stacks = []
    for members in groups.values():
        settings = members[0].settings
        chosen = choose_executor(settings, device) if executor == "auto" else executor
        most = stack_size(settings, device, data_dir)
        for part in _by_seed(members, device, data_dir, apart):
            count = -(-len(part) // most)
            for index in range(count):  # stacks of nearly equal size
                start, end = (len(part) * i // count for i in (index, index + 1))
                stacks.append(_stack(part[start:end], chosen))
    return tuple(sorted(stacks, key=lambda stack: stack.runs[0].seed) if apart else stacks)


def _by_seed(runs: Sequence[RunSpec], device: str, data_dir: Path | None, apart: bool) -> list[list[RunSpec]]:
    """Return the runs in the order of their seeds, apart where asked or copies of batches would cost more."""
    seeds: dict[int, list[RunSpec]] = {}
    for run in sorted(runs, key=lambda run: run.seed):
        seeds.setdefault(run.seed, []).append(run)
    data = runs[0].settings.data
    batch_bytes = 4 * data.batch_size * math.prod(_peek(data, data_dir).input_shape)
    dear = device == "cpu" and len(runs) / len(seeds) * batch_bytes > CPU_STEP_BYTES
    if apart or dear:
        return list(seeds.values())
    return [[run for members in seeds.values() for run in members]]


def _stack(runs: Sequence[RunSpec], executor: str) -> Stack:
    return Stack(digest("/".join(run.run_id for run in runs), 8), tuple(runs), executor)


def split_stack(stack: Stack, runs: Sequence[RunSpec] | None = None) -> tuple[Stack, ...]:
    """Return the two halves of a stack, or of those of its runs that are left; one left stands alone."""
    left = stack.runs if runs is None else runs
    halves = (left[: len(left) // 2], left[len(left) // 2 :])
    return tuple(_stack(half, stack.executor) for half in halves if half)


def choose_executor(settings: Settings, device: str) -> str:
    """Return the executor by rule: vectorized but for architectures that say that they run faster apart."""
    return "looped" if settings.model.runs_apart(device) else "vectorized"


def stack_size(settings: Settings, device: str, data_dir: Path | None) -> int:
    """Return how many runs make a stack, at most: what keeps their weights in a CPU's cache."""
    if device != "cpu":
        return GPU_STACK_RUNS
    info = _peek(settings.data, data_dir)
    item = 8 if settings.train.dtype == "float64" else 4
    weights = item * net_cost(settings.model, info.input_shape, info.classes).parameters
    return max(2, min(CPU_STACK_RUNS, CPU_STACK_BYTES // weights))
