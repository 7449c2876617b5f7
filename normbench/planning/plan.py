"""From a config to what is trained: run specifications with their ids, and the stacks that they form.

Pure: the same config gives the same plan. Each architecture is built once; no image is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from normbench.config import Experiment
from normbench.errors import PlanError, did_you_mean, one_of
from normbench.names import DEVICES, EXECUTORS
from normbench.planning.refusals import refuse_impossible, unserved
from normbench.planning.run_id import Once, canonical, data_identity, digest, written
from normbench.planning.runs import RunSpec, Stack
from normbench.planning.stacks import form_stacks
from normbench.stats.edge_search import Search, rehearse


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
    if executor not in EXECUTORS:
        raise PlanError(
            f"--executor: '{executor}' is unknown; {did_you_mean(executor, EXECUTORS)}{one_of(EXECUTORS)}"
        )
    folder = None if data_dir is None else Path(data_dir)
    refuse_impossible(experiment, folder)
    unmeasured = unserved(experiment, folder)
    content = Once(partial(canonical, written=Once(written), data=Once(partial(data_identity, folder))))
    runs = []
    for cell in experiment.cells:
        text = content(cell.settings)
        runs += [
            RunSpec(
                digest(f"{text}/{seed}", 12), seed, cell.settings, cell.values, cell.refining, cell.decided
            )
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
            *unmeasured,
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
    if device not in DEVICES:
        raise PlanError(f"--device: '{device}' is unknown; {did_you_mean(device, DEVICES)}{one_of(DEVICES)}")
    there = torch.cuda.is_available() if device == "cuda" else torch.backends.mps.is_available()
    if not there:
        raise PlanError(f"--device: this machine or this torch has no '{device}'; use --device cpu")
    return device
