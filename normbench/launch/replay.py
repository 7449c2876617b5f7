"""Probes that were added to finished runs: which runs are trained again for layers.csv alone.

A run trained again must give the metrics that it gave before, row by row; only then its layers are taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from normbench.errors import NormbenchError
from normbench.planning.plan import Plan
from normbench.planning.refusals import served_probes
from normbench.planning.runs import RunSpec, Stack
from normbench.planning.stacks import form_stacks
from normbench.probes import PROBES, Probe
from normbench.records import ResultsFolder
from normbench.records.config_file import read_config

SCHEDULE = ("every", "steps", "log")  # another one needs no other numbers of the steps that are there


def stacks_to_replay(plan: Plan, folder: ResultsFolder) -> list[Stack]:
    """Return stacks of the finished runs that lack rows of a probe, each by the executor of its records."""
    if not plan.experiment.probes:
        return []
    expected = {run.run_id: measurements(run, plan) for run in plan.runs}
    lacking = folder.without_layers(expected)
    stacks: list[Stack] = []
    for executor in dict.fromkeys(lacking.values()):
        runs = [run for run in plan.runs if lacking.get(run.run_id) == executor]
        executor = executor or plan.executor
        stacks += form_stacks(runs, plan.device, executor, plan.data_dir, plan.experiment.probes)
    return stacks


def measurements(run: RunSpec, plan: Plan) -> set[tuple[str, int]]:
    """Return (probe, step) of all measurements of a run that does not diverge."""
    train = run.settings.train
    return {
        (probe.name, step)
        for probe in served_probes(plan.experiment.probes, run.settings, plan.data_dir)
        for step in probe.schedule(train.steps, train.evaluation_steps)
    }


def check_options(plan: Plan, folder: Path) -> None:
    """Raise if layers.csv was measured with other options of a probe: its rows would not go together."""
    if not (folder / "layers.csv").exists():
        return
    for before in read_config(folder / "config.yaml").get("probes") or ():
        old = _probe(before)
        for new in plan.experiment.probes:
            if old is not None and old.name == new.name and _numbers(old) != _numbers(new):
                raise NormbenchError(
                    f"{folder / 'layers.csv'}: the probe '{new.name}' was measured with other options "
                    f"({_numbers(old)}, now {_numbers(new)}); write them as they were, or remove this file: "
                    "all probes are then measured again"
                )


def _probe(written: object) -> Probe | None:
    """Return a probe from plain data; None for one that this version does not have."""
    try:
        data = {"name": written} if isinstance(written, str) else written
        return PROBES[data["name"]].model_validate(data)  # type: ignore[index]
    except (NormbenchError, ValueError, KeyError, TypeError):
        return None


def _numbers(probe: Probe) -> dict[str, object]:
    """Return the options on which the numbers of a step depend."""
    return probe.model_dump(exclude={"name", *SCHEDULE})


def refuse_other_metrics(folder: ResultsFolder, runs: Sequence[RunSpec]) -> str | None:
    """Return what to say if runs that were trained again gave other metrics than their records, else None."""
    other = folder.other_metrics([run.run_id for run in runs])
    if not other:
        return None
    run_id, text = next(iter(other.items()))
    return (
        f"{folder.root}: {len(other)} of {len(runs)} runs, trained again for their layers, gave other "
        f"metrics than their records; their layers are not taken, the records stay. {run_id}: {text}. "
        "Another version of torch or normbench, another processor or number of threads does that: measure "
        "where they were trained, or in a new folder"
    )
