"""The folders of shards, `shards/I-of-N/` in an experiment's folder, and how they are joined into it.

A shard's folder is a results folder of its own, so that no two jobs write the same file. It begins with the
results that the experiment's folder has of its runs. `join` copies what ended in the shards into parts of the
experiment's folder, which its next merge takes; the folders of the shards stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from normbench.counts import counted
from normbench.errors import RecordsError
from normbench.names import RESULTS
from normbench.paths import expanded
from normbench.records.contents import Contents, is_results, retried
from normbench.records.environment import check_format, join_sessions, read_sessions
from normbench.records.files import explained, refuse_link
from normbench.records.lock import NAME as LOCK
from normbench.records.lock import holder_of
from normbench.records.orphans import find_orphans, of_other_seeds, refuse
from normbench.records.sources import keep
from normbench.records.taking import take

if TYPE_CHECKING:
    from normbench.planning.plan import Plan

FOLDER = "shards"
_NAME = re.compile(r"([1-9][0-9]{0,3})-of-([1-9][0-9]{0,3})")
_SHOWN = 8  # shards in a sentence


def shards_of(root: Path) -> list[Path]:
    """Return the folders of the shards of an experiment that have records, by number of shards and place."""
    folder = root / FOLDER
    refuse_link(folder)
    if not folder.is_dir():
        return []
    with explained(folder, "read"):
        found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name) and is_results(path)]
    return sorted(found, key=lambda path: _place(path)[::-1])


def whole_of(root: Path) -> Path | None:
    """Return the experiment's folder that a shard belongs to, None if `root` is no folder of a shard."""
    is_shard = root.parent.name == FOLDER and _NAME.fullmatch(root.name)
    return root.parent.parent if is_shard else None


def _place(shard: Path) -> tuple[int, int]:
    index, _, count = shard.name.partition("-of-")
    return int(index), int(count)


def with_shards(path: Path | str) -> list[Path]:
    """Return the experiments' folders at a path that have shards: the folder itself, or those in it.

    Raises:
        RecordsError: there is none.
    """
    root = expanded(path, "results", RecordsError)
    if root.is_dir() and whole_of(root) is None:
        with explained(root, "read"):
            places = [root] if shards_of(root) else sorted(filter(Path.is_dir, root.iterdir()))
        if found := [place for place in places if shards_of(place)]:
            return found
    raise RecordsError(
        f"{root}: neither it nor a folder in it has shards with records ({FOLDER}/I-of-N); name the "
        "experiment's folder, into which `normbench run CONFIG --shard I/N` trained"
    )


def last_trained(shards: Sequence[Path]) -> Path:
    """Return the shard whose last session began last."""
    starts = {shard: [str(one.get("start")) for one in read_sessions(shard)] for shard in shards}
    return max(shards, key=lambda shard: max(starts[shard], default=""))


def not_begun(shards: Sequence[Path]) -> list[str]:
    """Return a sentence for each division of which some shards have no records yet."""
    there: dict[int, set[int]] = {}
    for shard in shards:
        index, count = _place(shard)
        there.setdefault(count, set()).add(index)
    sentences = []
    for count, begun in there.items():
        if left := [str(index) for index in range(1, count + 1) if index not in begun]:
            which = ", ".join(left[:_SHOWN]) + (", ..." if len(left) > _SHOWN else "")
            sentences.append(f"{len(left)} of {count} shards have not begun: {which}")
    return sentences


def not_begun_in(folders: Iterable[Path]) -> list[str]:
    """Return the sentences of `not_begun` on each experiment of which shards are among these folders."""
    shards: dict[Path, list[Path]] = {}
    for folder in folders:
        if (whole := whole_of(folder)) is not None:
            shards.setdefault(whole, shards_of(whole))
    return [f"{whole.name}: {sentence}" for whole, found in shards.items() for sentence in not_begun(found)]


def refuse_other_device(root: Path, device: str) -> None:
    """Refuse to train a shard on another device than others of the same division.

    Raises:
        RecordsError: the device of another shard is another one, so that its division is, too.
    """
    whole = whole_of(root)
    for other in shards_of(whole) if whole else ():
        sessions = read_sessions(other)
        there = sessions[-1].get("device") if sessions else None
        if other.name != root.name and _place(other)[1] == _place(root)[1] and there not in (None, device):
            raise RecordsError(
                f"{other}: trained on {there}, and this shard would train on {device}; stacks, and so the "
                f"parts of a plan, depend on the device. Name it in all jobs (--device {there}), or choose "
                "another number of shards"
            )


class Joining:
    """What a results folder takes from others: an experiment's folder from its shards, a shard from it.

    Args:
        root: the results folder.
        skip_busy: leave shards out that are being written, instead of refusing to join them.

    Raises:
        RecordsError: a shard is being written, or a newer version wrote it.
    """

    def __init__(self, root: Path, skip_busy: bool = False) -> None:
        self.root, self.whole = root, whole_of(root)
        self.said: list[str] = []
        self.shards: list[Path] = []
        for shard in () if self.whole else shards_of(root):
            check_format(shard)
            if (holder := holder_of(shard)) is None:
                self.shards.append(shard)
            elif skip_busy:
                self.said.append(
                    f"{shard}: is being written by {holder}; left out: merge again when it ends, or if it is "
                    f"gone, delete {shard / LOCK} first"
                )
            else:
                raise RecordsError(
                    f"{shard}: is being written by {holder}; wait for it or stop it, since this run would "
                    f"train the same runs; if it is gone, delete {shard / LOCK}"
                )

    def check(self, plan: Plan, config_text: str, keep_old: bool) -> dict[Path, int]:
        """Refuse shards that a config did not make; return the number of results of each.

        Args:
            plan: the runs of the config.
            config_text: the resolved config.
            keep_old: whether to leave runs that are not in the plan where they are instead.

        Raises:
            RecordsError: a shard has results that are not in the plan; the message names the differences.
        """
        results = {}
        for shard in self.shards:
            with Contents(shard) as contents:
                self.said += contents.warnings
                orphans = find_orphans(contents, plan)
                others = {run.run_id for run in of_other_seeds(contents, orphans, plan)}
                if not keep_old:
                    left = [run_id for run_id in orphans if run_id not in others]
                    refuse(contents, left, plan, config_text, _mend(shard))
                if gone := [run for run in orphans if contents.choose(run).status in RESULTS]:
                    left_there = f"{counted(len(gone), 'run', 'were')} left there"
                    self.said.append(f"{shard}: {left_there}; the config does not have them")
                everything = {*contents.runs.run_ids(), *(r for part in contents.parts for r in part.members)}
                results[shard] = sum(contents.choose(run_id).status in RESULTS for run_id in everything)
        return results

    def take(self, plan: Plan) -> None:
        """Copy what the others have and this folder lacks into parts; note the sessions of the shards."""
        if self.whole is not None:
            if is_results(self.whole):
                retried(self.whole, lambda whole: self._take_from(whole, plan))
            return
        if not self.shards:
            return
        from normbench.plugins import loaded  # imports torch, which readers of records do not need

        keep(self.root, loaded())
        taken: dict[str, Path] = {}
        with Contents(self.root) as contents:
            for shard in self.shards:
                index, count = _place(shard)
                with Contents(shard) as other:
                    _refuse_two_results(other, taken)
                    wanted = (run.run_id for run in plan.runs if run.run_id not in taken)
                    found = take(contents, other, plan, wanted, f"shard{index:04}of{count:04}")
                self._say_taken(found, shard)
                taken |= dict.fromkeys(found, shard)
        self.said += join_sessions(self.root, self.shards)

    def _take_from(self, whole: Path, plan: Plan) -> None:
        with Contents(self.root) as contents, Contents(whole) as other:
            asked = (run.run_id for run in plan.runs if plan.asks(run.run_id))
            self._say_taken(take(contents, other, plan, asked, "whole000"), whole)

    def _say_taken(self, run_ids: Sequence[str], source: Path) -> None:
        if run_ids:
            self.said.append(f"{source}: {counted(len(run_ids), 'run', 'were')} taken from there")


def _mend(shard: Path) -> str:
    return (
        "Train all shards with one config; or run with --keep-old, which leaves these runs where they are; "
        f"or remove {shard} if they are of no use"
    )


def _refuse_two_results(other: Contents, taken: Mapping[str, Path]) -> None:
    """Raise RecordsError if a run was taken from another shard and has other metrics in this one."""
    twice: dict[Path, list[str]] = {}
    for run_id, shard in taken.items():
        if other.choose(run_id).status in RESULTS:
            twice.setdefault(shard, []).append(run_id)
    for shard, run_ids in twice.items():
        with Contents(shard) as first:
            for run_id in run_ids:
                there, here = first.choose(run_id), other.choose(run_id)
                rows = first.rows("metrics", run_id, there)
                if there.status in RESULTS and rows != other.rows("metrics", run_id, here):
                    raise RecordsError(
                        f"{shard} and {other.root}: both trained the run {run_id}, with other numbers; they "
                        "are of two divisions or two machines. Remove the folder whose results are not to "
                        "count"
                    )
