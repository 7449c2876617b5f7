"""Runs that a folder holds and the config no longer describes: refused, or kept aside on request.

A config that wants them again takes them back from there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normbench.errors import RecordsError
from normbench.names import ENDED, RESULTS
from normbench.records.config_file import parse_config_text, read_config
from normbench.records.contents import Contents, below_in, is_results
from normbench.records.files import (
    TEMPORARY,
    Replacement,
    explained,
    own_folder,
    refuse_link,
    sync_folder,
    write_file,
)
from normbench.records.parts import FOLDER, Manifest
from normbench.records.schema import ROWS, format_cell, line, safe_text
from normbench.records.sources import plugin_differences
from normbench.records.summary import run_cells
from normbench.records.taking import take

if TYPE_CHECKING:
    from normbench.planning.plan import Plan
    from normbench.planning.runs import RunSpec

OLD = "old"
SHOWN = 8  # differences in a message
# Keys that do not change a run, so that a difference in them does not explain an orphan.
NEUTRAL = ("name", "title", "decide", "claims", "probes", "train.trains_below", "data.root")


def find_orphans(contents: Contents, plan: Plan) -> list[str]:
    """Return the runs that have rows in the folder and are not in the plan."""
    known = {run.run_id for run in plan.runs}
    there = dict.fromkeys(contents.runs.run_ids())
    there.update(dict.fromkeys(run_id for part in contents.parts for run_id in sorted(part.members)))
    return [run for run in there if run not in known and contents.choose(run).status != "pending"]


def of_other_seeds(contents: Contents, orphans: Iterable[str], plan: Plan) -> tuple[RunSpec, ...]:
    """Return the orphans that ended and differ from runs of the plan in their seed alone.

    They stay in the records, where a config that names their seeds again finds them.

    Args:
        contents: the folder.
        orphans: the runs that are not in the plan.
        plan: the runs of the config.
    """
    ended = {run_id for run_id in orphans if contents.choose(run_id).status in ENDED}
    seeds = {int(cells["seed"]) for run_id in ended if (cells := contents.runs.cells(run_id))}
    found = []
    for run in plan.runs_of_seeds(sorted(seeds)) if seeds else ():
        there = next((run_id for run_id in run.ids if run_id in ended), None)
        if there is not None:
            found.append(replace(run, run_id=there))
    return tuple(found)


def refuse(
    contents: Contents, orphans: Iterable[str], plan: Plan, config_text: str, mend: str | None = None
) -> None:
    """Refuse to go on with a folder if an orphan has a result.

    Args:
        contents: the folder.
        orphans: the runs that are not in the plan.
        plan: the runs of the config.
        config_text: the resolved config.
        mend: what the user can do, if not what helps where the folder itself goes on.

    Raises:
        RecordsError: an orphan has a result; the message tells how the configs differ.
    """
    from normbench.plugins import loaded  # imports torch, which readers of records do not need

    root = contents.root
    lost = [run_id for run_id in orphans if contents.choose(run_id).status in RESULTS]
    if not lost:
        return
    everything = dict.fromkeys(
        [*contents.runs.run_ids(), *(r for part in contents.parts for r in part.results)]
    )
    results = sum(contents.choose(run_id).status in RESULTS for run_id in everything)
    differences = [
        *plugin_differences(root, loaded()),
        *config_differences(root / "config.yaml", config_text),
        *value_differences([contents.runs.cells(run_id) for run_id in lost], contents.runs.swept, plan),
    ]
    shown = "".join(f"\n  {text}" for text in differences[:SHOWN])
    if len(differences) > SHOWN:
        shown += f"\n  and {len(differences) - SHOWN} more"
    own_mend = (
        f"Give the config another `name:`, or run with --keep-old, which keeps them aside in {root / OLD}"
    )
    raise RecordsError(
        f"{root}: {len(lost)} of its {results} finished runs are not in this config, which would leave them "
        f"as orphans; {'the difference:' if shown else _unseen(root)}{shown}\n"
        f"{mend or own_mend}"
    )


def _unseen(root: Path) -> str:
    """Return why runs can be orphans although no difference is found."""
    if not (root / "config.yaml").is_file():
        return "their settings are not recorded."
    return (
        "its config.yaml has the same settings, so the files of its data set were others, or another version "
        "of normbench named its runs."
    )


def config_differences(old_file: Path, new_text: str) -> list[str]:
    """Return a sentence for each setting that differs between the two resolved configs."""
    old: dict[str, Any] = {}
    new: dict[str, Any] = {}
    try:
        flatten("", read_config(old_file), old)
        flatten("", parse_config_text(new_text), new)
    except (RecordsError, ValueError):
        return []
    if not old:
        return []
    sentences = []
    for key in dict.fromkeys([*old, *new]):
        if old.get(key) != new.get(key) and not any(key == n or key.startswith(f"{n}.") for n in NEUTRAL):
            was, now = (_short(side[key]) if key in side else "not set" for side in (old, new))
            sentences.append(f"{key}: {was} in its config.yaml, {now} now")
    return sentences


def value_differences(rows: list[dict[str, str]], swept: list[str], plan: Plan) -> list[str]:
    """Return a sentence for each swept key of which the orphans have values that the plan lacks."""
    sentences = []
    for key in ("seed", *swept):
        old = dict.fromkeys(row[key] for row in rows if row)
        if key == "seed":
            new = {str(run.seed) for run in plan.runs}
        elif key in plan.columns:
            new = {format_cell(run.values.get(key)) for run in plan.runs}
        else:
            sentences.append(f"{key}: swept in its runs.csv, not swept now")
            continue
        gone = [value or "(empty)" for value in old if value not in new]
        if gone:
            sentences.append(f"{key}: {_short(', '.join(gone))} in its runs.csv, not in this config")
    return sentences


def set_aside(contents: Contents, orphans: list[str]) -> Path:
    """Copy the records of these runs to `old/<n>/`, then remove the runs from the manifests of their stacks.

    The next merge leaves them out. If the process is killed in between, they are in both places and can be
    set aside again.
    """
    folder = own_folder(contents.root / OLD)
    with explained(folder, "written"):
        number = 1 + max((int(path.name) for path in folder.iterdir() if path.name.isdecimal()), default=0)
        new = folder / f"{number}{TEMPORARY}"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        if (contents.root / "config.yaml").is_file():
            shutil.copyfile(contents.root / "config.yaml", new / "config.yaml")
    files = {name: Replacement(new / table.file) for name, table in ROWS.items()}
    files["runs"] = Replacement(new / "runs.csv")
    for name, table in ROWS.items():
        files[name].write(line(table.names))
    files["runs"].write(line([safe_text(name) for name in contents.runs.table.names]))
    for run_id in orphans:
        choice = contents.choose(run_id)
        rows = contents.rows("metrics", run_id, choice)
        files["metrics"].write(b"".join(map(line, rows)))
        files["layers"].write(b"".join(map(line, contents.rows("layers", run_id, choice))))
        known = contents.runs.cells(run_id)
        end = run_cells(choice.status, choice.cells, rows, below_in(choice))
        cells = {**known, **end, "run_id": run_id}
        if choice.part is None:
            cells["outcome"] = known["outcome"]
        names = contents.runs.table.names
        files["runs"].write(line([cells.get(name, "") for name in names]))
    for file in files.values():
        file.seal()
        file.commit()
    sync_folder(new)
    with explained(folder, "written"):
        os.replace(new, folder / str(number))
    sync_folder(folder)
    gone = set(orphans)
    for part in contents.parts:
        if part.members & gone:
            left = tuple(run_id for run_id in part.manifest.runs if run_id not in gone)
            old = part.manifest
            Manifest(old.stack_id, old.executor, old.order, left, resumable=False).write(
                contents.root / FOLDER
            )
    return folder / str(number)


def aside(root: Path) -> list[Path]:
    """Return the folders of runs that were set aside, newest first."""
    folder = root / OLD
    refuse_link(folder)
    if not folder.is_dir():
        return []
    with explained(folder, "read"):
        found = [path for path in folder.iterdir() if path.name.isdecimal() and is_results(path)]
    return sorted(found, key=lambda path: int(path.name), reverse=True)


def take_back(contents: Contents, plan: Plan) -> dict[Path, int]:
    """Take back the runs that were set aside and are wanted again; their copies in `old/` stay.

    Args:
        contents: the folder.
        plan: the runs of the config.

    Returns:
        The number of runs that were taken, by the folder in `old/`.

    Raises:
        RecordsError: rows of such a run are missing, or a file in `old/` is damaged.
    """
    missing = {run.run_id for run in plan.runs if contents.choose(run.run_id).status not in ENDED}
    taken: dict[Path, int] = {}
    for folder in aside(contents.root) if missing else ():
        with Contents(folder) as old:
            wanted = [run_id for run_id in old.runs.run_ids() if run_id in missing]
            found = take(contents, old, plan, wanted, f"old{int(folder.name):05}")
        if found:
            taken[folder] = len(found)
            missing -= set(found)
    return taken


def write_config(root: Path, text: str) -> None:
    """Write config.yaml; a file with the same content is left alone."""
    write_file(root / "config.yaml", text.encode("utf-8"))


def flatten(prefix: str, value: Any, into: dict[str, Any]) -> None:
    """Put the leaves of nested mappings into `into`, under their dotted keys."""
    # The keys of a sweep contain dots themselves; `sweep.model.norm` is a fine name for one.
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            flatten(f"{prefix}.{key}" if prefix else str(key), inner, into)
    else:
        into[prefix] = value


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
