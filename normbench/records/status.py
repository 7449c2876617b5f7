"""What is in a results folder at a glance, without pandas."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from normbench.errors import RecordsError
from normbench.names import OUTCOMES, STATUSES
from normbench.paths import broken_link, expanded
from normbench.records.contents import Contents, is_results, retried
from normbench.records.environment import workers_of
from normbench.records.files import explained
from normbench.records.gaps import gaps_in
from normbench.records.lock import holder_of
from normbench.records.shards import shards_of, whole_of
from normbench.records.time_left import seconds_left


@dataclass(frozen=True)
class FolderStatus:
    """The counts of statuses and outcomes in a folder, the time left, and what was damaged.

    Attributes:
        name: the name of the folder.
        total: the number of runs.
        statuses: the number of runs with each status, all five in a fixed order.
        outcomes: the number of runs with each outcome.
        seconds_left: the expected training time of what is left; None until a run has ended.
        holder: the process that writes the folder, None if there is none.
        warnings: sentences about damage.
    """

    name: str
    total: int
    statuses: dict[str, int]
    outcomes: dict[str, int]
    seconds_left: float | None
    holder: str | None
    warnings: list[str]


def folder_status(folder: Path | str) -> FolderStatus:
    """Return the status of one experiment's folder."""
    return retried(Path(folder), _status)


def _status(root: Path) -> FolderStatus:
    with Contents(root) as contents:
        rows = list(contents.run_rows(summary=False))
        statuses = Counter(cells["status"] for cells in rows)
        outcomes = Counter(cells["outcome"] for cells in rows)
        return FolderStatus(
            name=_name(root.resolve()),
            total=len(rows),
            statuses={name: statuses[name] for name in STATUSES},
            outcomes={name: outcomes[name] for name in OUTCOMES},
            seconds_left=seconds_left(rows, contents.runs.swept, workers_of(root)),
            holder=holder_of(root),
            warnings=[*contents.warnings, *gaps_in(contents)],
        )


def _name(root: Path) -> str:
    whole = whole_of(root)
    return root.name if whole is None else f"{whole.name} {root.name}"


def experiments_in(path: Path | str, shards: bool = False) -> list[Path]:
    """Return the results folders at a path: the folder itself, or those directly in it.

    Args:
        path: of an experiment, or of a folder of them.
        shards: return the folders of each experiment's shards, too, behind its own.

    Raises:
        RecordsError: there is none.
    """
    root = expanded(path, "results", RecordsError)
    if not root.exists():
        what = broken_link(root.absolute()) or f"{root.absolute()}: there is no such folder"
        raise RecordsError(f"{what}; `normbench run CONFIG` writes results/<name>")
    if not root.is_dir():
        raise RecordsError(f"{root}: is a file; name a results folder such as results/<name>")
    with explained(root, "read"):
        is_one = is_results(root) or bool(shards_of(root))
        places = [root] if is_one else sorted(filter(Path.is_dir, root.iterdir()))
    only = [one for one in places if not is_results(one) and shards_of(one)]
    found = []
    for one in places:
        found += [one] if is_results(one) else []
        found += shards_of(one) if shards else []
    if not found and only:
        raise RecordsError(
            f"{only[0]}: has records of shards alone; join them with: normbench merge {only[0]}"
        )
    if not found:
        raise RecordsError(
            f"{root}: neither it nor a folder in it holds records (runs.csv); `normbench run CONFIG` writes "
            "results/<name>"
        )
    return found
