"""Rows that are missing between others, as a filter in a spreadsheet leaves them.

`status`, `verify`, `plot` and `run` all use these functions. The records themselves tell which rows must be
there:

metrics.csv   the run has a row for each evaluation that its settings ask for; a diverged run, for each before
              its end
layers.csv    each measurement of a probe has as many rows as the run's others, and runs that differ in
              nothing but the seed are measured at the same steps
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from normbench.errors import RecordsError
from normbench.names import RESULTS
from normbench.records.config_file import read_config
from normbench.records.contents import Contents, retried
from normbench.records.schema import count, text_value
from normbench.stats.evaluations import evaluation_steps

Cells = Mapping[str, str]  # of a run in runs.csv
Counts = Mapping[str, Mapping[int, int]]  # the number of a run's rows by probe and step
_SHOWN = 3


def planned_steps(root: Path, swept: Collection[str]) -> Callable[[Cells], list[int] | None]:
    """Return the function that tells the steps at which a run was to be evaluated.

    It reads config.yaml and the swept keys of the run, and returns None if they do not tell.
    """
    try:
        train = read_config(root / "config.yaml").get("train")
    except RecordsError:
        train = None
    own = [key for key in swept if key.partition(".")[0] == "train"]
    known: dict[tuple[str, ...], list[int] | None] = {}

    def steps_of(cells: Cells) -> list[int] | None:
        values = tuple(cells[key] for key in own)
        if values not in known:
            known[values] = _planned(train, dict(zip(own, values, strict=True)))
        return known[values]

    return steps_of


def _planned(train: Any, swept: Cells) -> list[int] | None:
    try:
        settings = dict(train)
        for key, cell in swept.items():
            _, name, *inner = key.split(".")
            value = json.loads(text_value(cell))
            settings[name] = {**dict(settings[name]), inner[0]: value} if inner else value
        every = settings["eval_every"]
        if isinstance(every, dict):
            if every.get("log") is None:
                early = int(every["first"]), int(every["until"]), int(every["then"])
                return evaluation_steps(int(settings["steps"]), early=early)
            return evaluation_steps(int(settings["steps"]), log=int(every["log"]))
        if isinstance(every, list):
            return evaluation_steps(int(settings["steps"]), at=[int(step) for step in every])
        return evaluation_steps(int(settings["steps"]), every=int(every))
    except (KeyError, TypeError, ValueError, OverflowError, ArithmeticError, MemoryError):
        return None  # another version's config, or an edited one


def gaps_of(folder: Path) -> list[str]:
    """Return a sentence for each file of a results folder in which rows are missing."""
    return retried(folder, _gaps_of)


def _gaps_of(root: Path) -> list[str]:
    with Contents(root) as contents:
        return gaps_in(contents)


def gaps_in(contents: Contents) -> list[str]:
    """Return a sentence for each file in which rows are missing, and how to get them back."""
    runs, swept = list(contents.run_rows(summary=False)), contents.runs.swept
    said = []
    if lost := evaluations_lost(contents, runs, planned_steps(contents.root, swept)):
        said.append(metrics_sentence(contents, lost))
    layers = contents.tables["layers"]
    if not layers.missing and not contents.parts:  # a stack in progress measures what others have by now
        counts = {run_id: rows_by_step(layers.rows(run_id)) for run_id in layers.run_ids()}
        if gaps := layers_gaps(runs, swept, counts):
            said.append(
                f"{layers.path}: {_which(gaps)}. Restore the file, or run the config again to measure them"
            )
    return said


def metrics_sentence(contents: Contents, lost: Mapping[str, list[int]]) -> str:
    """Return what is said about the evaluations that are missing in metrics.csv."""
    return (
        f"{contents.tables['metrics'].path}: {_which(lost)}. Restore the file; or delete the lines of "
        "these runs in runs.csv to train them again"
    )


def evaluations_lost(
    contents: Contents, runs: Iterable[Cells], planned: Callable[[Cells], list[int] | None]
) -> dict[str, list[int]]:
    """Return the steps of the evaluations that are missing, for each run with a result that lacks some.

    Args:
        contents: the folder.
        runs: their cells in runs.csv.
        planned: returns the steps of a run's evaluations, None if they are not known.
    """
    lost = {}
    for cells in runs:
        run_id = cells["run_id"]
        choice = contents.choose(run_id)
        if choice.status not in RESULTS or (steps := planned(cells)) is None:
            continue
        index, end = contents.source("metrics", run_id, choice), choice.cells["diverged_at_step"]
        wanted = [step for step in steps if not end or step < count(end)]
        if index is not None and index.counts[run_id] == len(wanted):
            continue
        there = {int(row[1]) for row in index.rows(run_id)} if index is not None else set()
        if gone := [step for step in wanted if step not in there]:
            lost[run_id] = gone
    return lost


def rows_by_step(rows: Iterable[Sequence[str]]) -> Counts:
    """Return the number of a run's rows of layers, by probe and step."""
    counts: dict[str, Counter[int]] = {}
    for row in rows:
        counts.setdefault(row[3].partition(".")[0], Counter())[int(row[1])] += 1
    return counts


def incomplete(counts: Counts) -> set[tuple[str, int]]:
    """Return (probe, step) of the measurements of a run with fewer rows than its others."""
    return {
        (probe, step)
        for probe, by_step in counts.items()
        for step, rows in by_step.items()
        if rows < max(by_step.values())
    }


def layers_gaps(
    runs: Iterable[Cells], swept: Collection[str], counts: Mapping[str, Counts]
) -> dict[str, list[int]]:
    """Return the steps of the measurements that are missing or lack rows, for each run that has such.

    Args:
        runs: their cells in runs.csv.
        swept: the swept keys.
        counts: for each run, the number of its rows by probe and step.
    """
    like: dict[tuple[str, ...], list[Cells]] = {}
    for cells in runs:
        if cells["status"] in RESULTS:
            like.setdefault(tuple(cells[key] for key in swept), []).append(cells)
    gaps = {}
    for group in like.values():
        measured = {
            (probe, step)
            for cells in group
            for probe, by_step in counts.get(cells["run_id"], {}).items()
            for step in by_step
        }
        for cells in group:
            own = counts.get(cells["run_id"], {})
            end = cells["diverged_at_step"]
            gone = incomplete(own)
            gone |= {(probe, step) for probe, step in measured if step not in own.get(probe, ())}
            steps = {step for _, step in gone if not end or step < count(end)}
            if steps:
                gaps[cells["run_id"]] = sorted(steps)
    return gaps


def _which(gaps: Mapping[str, list[int]]) -> str:
    runs = [f"{run_id} (step {_list(steps)})" for run_id, steps in list(gaps.items())[:_SHOWN]]
    more = f" and {len(gaps) - _SHOWN} more" if len(gaps) > _SHOWN else ""
    number = "a finished run" if len(gaps) == 1 else f"{len(gaps)} finished runs"
    return f"rows of {number} are missing: {', '.join(runs)}{more}"


def _list(steps: list[int]) -> str:
    return ", ".join(map(str, steps[:5])) + (", ..." if len(steps) > 5 else "")
