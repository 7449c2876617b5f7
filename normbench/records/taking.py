"""Copies runs from another folder of records into a part, which the next merge takes.

The other folder stays as it is. If the process is killed in between, the next session copies the same runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from normbench.errors import RecordsError
from normbench.names import ENDED, RESULTS
from normbench.records.contents import Choice, Contents
from normbench.records.files import (
    Replacement,
    explained,
    own_folder,
    read_small,
    refuse_link,
    remove,
    sync_folder,
    write_file,
)
from normbench.records.gaps import evaluations_lost, metrics_sentence
from normbench.records.parts import CRASHES, FOLDER, Manifest, part_file
from normbench.records.schema import PART_TABLES, ROWS, line

if TYPE_CHECKING:
    from normbench.planning.plan import Plan


def take(
    contents: Contents, source: Contents, plan: Plan, run_ids: Iterable[str], stack_id: str
) -> list[str]:
    """Copy the runs that another folder has and this one lacks into a part.

    A run is taken if it ended there and did not end here, or has a result there and none here, or has more
    rows of layers there.

    Args:
        contents: this folder.
        source: the other one.
        plan: the runs of the config.
        run_ids: those of the runs to look for.
        stack_id: of the part.

    Returns:
        The runs that were taken.

    Raises:
        RecordsError: rows of such a run are missing in the other folder.
    """
    again = {run_id for part in contents.parts if part.stack_id == stack_id for run_id in part.members}
    found: dict[str, Choice] = {}
    for run_id in run_ids:
        choice = source.choose(run_id)
        if choice.status in ENDED and (run_id in again or _lacks(contents, source, run_id, choice)):
            found[run_id] = choice
    planned = {run.run_id: run.settings.train.evaluation_steps for run in plan.runs if run.run_id in found}
    rows = ({"run_id": run_id} for run_id in found)
    if lost := evaluations_lost(source, rows, lambda row: planned[row["run_id"]]):
        raise RecordsError(metrics_sentence(source, lost))
    if found:
        _write_part(contents.root, stack_id, source, found)
    return list(found)


def _lacks(contents: Contents, source: Contents, run_id: str, there: Choice) -> bool:
    """Return whether this folder lacks a run that ended in the other one."""
    here = contents.choose(run_id)
    if here.status not in RESULTS:
        return there.status in RESULTS or here.status not in ENDED
    if there.status not in RESULTS:
        return False
    return _layers(source, run_id, there) > _layers(contents, run_id, here)


def _layers(contents: Contents, run_id: str, choice: Choice) -> int:
    index = contents.source("layers", run_id, choice)
    return index.counts[run_id] if index is not None else 0


def _write_part(root: Path, stack_id: str, source: Contents, choices: Mapping[str, Choice]) -> None:
    """Write the records of runs as the part of a stack that is never continued."""
    folder = own_folder(root / FOLDER)
    for run_id, choice in choices.items():
        if choice.status == "crashed":
            _copy_crash(source.root, root, run_id)
        elif (root / CRASHES).is_dir():  # it may have crashed here
            refuse_link(root / CRASHES)
            remove(root / CRASHES / f"{run_id}.txt")
    new = {name: Replacement(part_file(folder, stack_id, name)) for name in PART_TABLES}
    try:
        for name, table in PART_TABLES.items():
            new[name].write(line(table.names))
        for run_id, choice in choices.items():
            rows = {name: source.rows(name, run_id, choice) for name in ROWS}
            for name in ROWS:
                new[name].write(b"".join(map(line, rows[name])))
            cells = {**choice.cells, "run_id": run_id, "trains_below": "", "rows": str(len(rows["metrics"]))}
            new["runs"].write(line([cells[name] for name in PART_TABLES["runs"].names]))
        for file in new.values():
            file.seal()
        for file in new.values():  # the ends of runs last
            file.commit()
    except BaseException:
        for file in new.values():
            file.drop()
        raise
    Manifest(stack_id, "", 0, tuple(choices), resumable=False).write(folder)
    sync_folder(folder)


def _copy_crash(source: Path, root: Path, run_id: str) -> None:
    """Copy the traceback of a crashed run, if it is there."""
    path = source / CRASHES / f"{run_id}.txt"
    if path.is_file():
        with explained(path, "read"):
            data = read_small(path)
        write_file(own_folder(root / CRASHES) / path.name, data)
