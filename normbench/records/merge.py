"""Merges part files and merged files into new merged files, in the plan's order.

The new files are written next to the old ones, synced, and renamed one by one: the rows first, then runs.csv,
which lists whose rows are there. Then the parts that are no longer needed are removed. If the process is
killed between two of these steps, every row is still in its part, its merged file, or both, and the next
merge gives the same files.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from normbench.errors import RecordsError
from normbench.names import ENDED
from normbench.records.contents import Choice, Contents
from normbench.records.files import Replacement, explained, sync_folder
from normbench.records.parts import FOLDER, remove_part
from normbench.records.schema import ROWS, format_cell, line, runs_table, safe_text
from normbench.records.summary import run_cells

if TYPE_CHECKING:
    from normbench.planning.plan import Plan
    from normbench.planning.runs import RunSpec


def merge(
    root: Path,
    plan: Plan,
    check: Callable[[], None],
    in_use: Collection[str] = (),
    wanted: Collection[str] = (),
    others: Sequence[RunSpec] = (),
) -> list[str]:
    """Merge the files of a folder. The rows of one run are in memory at a time.

    Args:
        root: the results folder.
        plan: its runs are in the merged files, in its order. Other runs are dropped; `set_aside` keeps them
            before the merge.
        check: raises if the path leads to another folder by now; asked before each change of it.
        in_use: stacks that are still being written; their parts stay.
        wanted: runs of a search for the edge that are listed although they have not begun.
        others: runs with other seeds than the plan's, which stay behind its runs.

    Returns:
        Sentences about damage that was repaired.

    Raises:
        RecordsError: a file is damaged beyond repair or cannot be written.
    """
    with Contents(root) as contents:
        new: dict[str, Replacement] = {}
        check()
        try:
            for name in (*ROWS, "runs"):
                new[name] = Replacement(root / f"{name}.csv")
            layers = _write_all(contents, plan, new, wanted, others)
            if not layers and contents.tables["layers"].missing:
                new.pop("layers").drop()
            for file in new.values():
                file.seal()
            for name in ("layers", "metrics", "runs"):
                if name in new:
                    check()
                    new[name].commit()
        except BaseException:
            is_ours = _passes(check)
            for file in new.values():
                file.drop(remove=is_ours)
            raise
        sync_folder(root)
    _remove_used_parts(root, plan, check, in_use)
    return contents.warnings


def _passes(check: Callable[[], None]) -> bool:
    try:
        check()
    except RecordsError:
        return False
    return True


def _write_all(
    contents: Contents,
    plan: Plan,
    new: dict[str, Replacement],
    wanted: Collection[str],
    others: Sequence[RunSpec],
) -> bool:
    """Write the new files; return whether any run has rows of layers."""
    for name, table in ROWS.items():
        new[name].write(line(table.names))
    new["runs"].write(line([safe_text(name) for name in runs_table(plan.columns).names]))
    layers = False
    for run in (*plan.runs, *others):
        choice = contents.choose(run.run_id)
        listed = plan.asks(run.run_id) and not run.refining
        if choice.status != "pending" or listed or run.run_id in wanted:
            layers |= _merge_run(contents, run, choice, plan, new)
    return layers


def _merge_run(
    contents: Contents, run: RunSpec, choice: Choice, plan: Plan, new: dict[str, Replacement]
) -> bool:
    """Append one run to the new files; return whether it has rows of layers."""
    rows = contents.rows("metrics", run.run_id, choice)
    layers: list[list[str]] = []
    if choice.status in ENDED:  # rows of an interrupted run stay in its part
        layers = contents.rows("layers", run.run_id, choice)
        new["metrics"].write(b"".join(map(line, rows)))
        new["layers"].write(b"".join(map(line, layers)))
    values = [run.values.get(key) for key in plan.columns]
    cells = {
        "run_id": run.run_id,
        "seed": format_cell(run.seed),
        **run_cells(choice.status, choice.cells, rows, run.settings.train.trains_below),
        "decided": format_cell(" ".join(run.decided) or "none"),
    }
    swept = [format_cell(value) for value in values]
    names = [name for name in runs_table([]).names if name not in ("run_id", "seed")]
    new["runs"].write(line([cells["run_id"], cells["seed"], *swept, *(cells[name] for name in names)]))
    return bool(layers)


def _remove_used_parts(root: Path, plan: Plan, check: Callable[[], None], in_use: Collection[str]) -> None:
    """Remove the parts of which every run is merged, not in the plan, or in a newer stack."""
    if not (root / FOLDER).is_dir():
        return
    known = {run.run_id for run in plan.runs}
    with Contents(root) as contents:
        for part in contents.parts:
            if part.stack_id not in in_use and not (part.members & known and contents.unfinished(part)):
                check()
                remove_part(root / FOLDER, part.stack_id)
    folder = root / FOLDER
    if folder.is_dir() and not any(folder.iterdir()):
        with explained(folder, "removed"):
            folder.rmdir()
