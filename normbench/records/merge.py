"""Part files and merged files become new merged files, in the plan's order.

The new files are written aside, put on disk, and renamed one by one: the rows first, then runs.csv, which
says whose rows are there; then the parts that are used up are removed. Killed between any two of these steps,
the folder still holds every row (in its part, its merged file, or both), and the next merge gives the same.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from normbench.names import ENDED, QUANTITIES
from normbench.records.contents import END_CELLS, Choice, Contents
from normbench.records.files import Replacement, explained, sync_folder
from normbench.records.parts import FOLDER, PlanLike, RunLike, remove_part
from normbench.records.schema import ROWS, format_cell, line, runs_table, safe_text
from normbench.records.summary import summary_cells

NO_SUMMARY = {f"{form}_{name}": "" for name in QUANTITIES for form in ("final", "best")}


def merge(
    root: Path, plan: PlanLike, in_use: Collection[str] = (), wanted: Collection[str] = ()
) -> list[str]:
    """Merge the folder for this plan and return warnings; the parts of stacks `in_use` are left in place.

    Only one run's rows are in memory at a time. The merged files hold nothing of runs that the plan does not
    have; `set_aside` keeps those before. Of the runs that a search for the edge may make they list those that
    began and those that are `wanted` now.
    """
    with Contents(root) as contents:
        new = {name: Replacement(root / f"{name}.csv") for name in (*ROWS, "runs")}
        try:
            layers = _write_all(contents, plan, new, wanted)
            if not layers and contents.tables["layers"].missing:
                new.pop("layers").drop()
            for file in new.values():
                file.seal()
            for name in ("layers", "metrics", "runs"):
                if name in new:
                    new[name].commit()
        except BaseException:
            for file in new.values():
                file.drop()
            raise
        sync_folder(root)
    remove_used_parts(root, plan, in_use)
    return contents.warnings


def _write_all(
    contents: Contents, plan: PlanLike, new: dict[str, Replacement], wanted: Collection[str]
) -> bool:
    for name, table in ROWS.items():
        new[name].write(line(table.names))
    new["runs"].write(line([safe_text(name) for name in runs_table(plan.columns).names]))
    layers = False
    for run in plan.runs:
        choice = contents.choose(run.run_id)
        if choice.status != "pending" or not run.refining or run.run_id in wanted:
            layers |= _merge_run(contents, run, choice, plan, new)
    return layers


def _merge_run(
    contents: Contents, run: RunLike, choice: Choice, plan: PlanLike, new: dict[str, Replacement]
) -> bool:
    """Append one run to the new files; say whether it has rows of layers."""
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
        **run_cells(choice, rows, trains_below_of(run)),
    }
    swept = [format_cell(value) for value in values]
    names = [name for name in runs_table([]).names if name not in ("run_id", "seed")]
    new["runs"].write(line([cells["run_id"], cells["seed"], *swept, *(cells[name] for name in names)]))
    return bool(layers)


def run_cells(choice: Choice, rows: list[list[str]], trains_below: float | None) -> dict[str, str]:
    """Return the cells of a run's row in runs.csv, from `status` on."""
    end = {name: choice.cells.get(name, "") for name in END_CELLS}
    return {
        **end,
        "status": choice.status,
        "outcome": outcome_cell(end, choice.status, trains_below),
        **(summary_cells(rows) if rows else NO_SUMMARY),
    }


def outcome_cell(end: dict[str, str], status: str, trains_below: float | None) -> str:
    """Return the outcome, which follows from cells that are kept, so that it can change without training."""
    from normbench.stats.outcome import outcome

    loss, entropy = end["train_loss_last_tenth"], end["label_entropy"]
    if trains_below is None:
        return ""
    found = outcome(float(loss) if loss else None, float(entropy) if entropy else None, trains_below, status)
    return found or ""


def trains_below_of(run: RunLike) -> float:
    """Return the setting that tells `trains` from `stuck`."""
    return float(run.settings.train.trains_below)


def remove_used_parts(root: Path, plan: PlanLike, in_use: Collection[str]) -> None:
    """Remove the parts whose every run is merged, out of the plan, or spoken for by a newer stack."""
    if not (root / FOLDER).is_dir():
        return
    known = {run.run_id for run in plan.runs}
    with Contents(root) as contents:
        for part in contents.parts:
            if part.stack_id not in in_use and not (part.members & known and contents.unfinished(part)):
                remove_part(root / FOLDER, part.stack_id)
    folder = root / FOLDER
    if folder.is_dir() and not any(folder.iterdir()):
        with explained(folder, "removed"):
            folder.rmdir()
