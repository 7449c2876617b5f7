"""Probes that were added to finished runs: these runs are trained again, for their rows of layers.csv alone.

A run that is trained again must give the metrics it gave before, row by row. Only then its layers are taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from normbench.errors import NormbenchError
from normbench.planning.plan import Plan
from normbench.planning.refusals import served_probes
from normbench.planning.runs import RunSpec, Stack
from normbench.probes import PROBES, Probe
from normbench.records import ResultsFolder
from normbench.records.config_file import read_config

SCHEDULE = ("every", "steps", "log")  # options that do not change the numbers of steps already measured


def stacks_to_replay(plan: Plan, folder: ResultsFolder, workers: int) -> tuple[list[Stack], list[str]]:
    """Return the stacks of finished runs that lack rows of a probe, and sentences for the user.

    Each stack has the executor that trained its runs before.

    Args:
        plan: to train.
        folder: with the records so far.
        workers: processes that share the memory.
    """
    if not plan.experiment.probes:
        return [], []
    expected = {run.run_id: measurements(run, plan) for run in plan.runs}
    lacking = folder.without_layers(expected)
    stacks: list[Stack] = []
    notes: list[str] = []
    for executor in dict.fromkeys(lacking.values()):
        ids = [run_id for run_id, of_records in lacking.items() if of_records == executor]
        formed, divided = plan.stacks_for(ids, executor=executor, workers=workers)
        stacks += formed
        notes += divided
    return stacks, notes


def measurements(run: RunSpec, plan: Plan) -> set[tuple[str, int]]:
    """Return (probe, step) of all measurements of a run that does not diverge."""
    train = run.settings.train
    return {
        (probe.name, step)
        for probe in served_probes(plan.experiment.probes, run.settings, plan.data_dir)
        for step in probe.schedule(train.steps, train.evaluation_steps)
    }


def check_options(plan: Plan, folder: Path) -> None:
    """Raise a `NormbenchError` if layers.csv was measured with other options of a probe."""
    if not (folder / "layers.csv").exists():
        return
    for before in read_config(folder / "config.yaml").get("probes") or ():
        old = _probe(before)
        for new in plan.experiment.probes:
            if old is not None and old.name == new.name and _numbers(old) != _numbers(new):
                raise NormbenchError(
                    f"{folder / 'layers.csv'}: the probe '{new.name}' was measured with other options "
                    f"({_numbers(old)}, now {_numbers(new)}); restore them, or remove this file to measure "
                    "all probes again"
                )


def _probe(written: object) -> Probe | None:
    """Return a probe from plain data; None if this version does not have it."""
    try:
        data = {"name": written} if isinstance(written, str) else written
        return PROBES[data["name"]].model_validate(data)  # type: ignore[index]
    except (NormbenchError, ValueError, KeyError, TypeError):
        return None


def _numbers(probe: Probe) -> dict[str, object]:
    """Return the options that change the numbers measured at a step."""
    return probe.model_dump(exclude={"name", *SCHEDULE})


def refuse_other_metrics(folder: ResultsFolder, runs: Sequence[RunSpec]) -> str | None:
    """Return the error text if runs that were trained again gave other metrics than before, or None."""
    other = folder.other_metrics([run.run_id for run in runs])
    if not other:
        return None
    run_id, text = next(iter(other.items()))
    return (
        f"{folder.root}: {len(other)} of {len(runs)} runs, trained again for layers.csv, gave other metrics "
        f"than before; their layers are not taken, the records stay. {run_id}: {text}. "
        "Another version of torch or normbench, another processor or another number of threads can be the "
        "cause: measure where they were trained, or in a new folder"
    )
