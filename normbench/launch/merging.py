"""Joins the shards of an experiment into its results folder, and trains nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from normbench.launch.replay import check_options
from normbench.launch.reporter import Reporter
from normbench.names import STATUSES
from normbench.planning.plan import Plan
from normbench.records import ResultsFolder
from normbench.records.shards import not_begun, shards_of


@dataclass(frozen=True)
class Merged:
    """What a results folder has after a merge.

    Attributes:
        folder: the experiment's results folder.
        shards: the folders that were joined, or are being written.
        statuses: the number of the config's runs with each status.
    """

    folder: Path
    shards: tuple[Path, ...]
    statuses: dict[str, int]


def merge_shards(
    root: Path, plan: Plan, config_text: str, keep_old: bool = False, reporter: Reporter | None = None
) -> Merged:
    """Join the shards of an experiment into its results folder.

    Args:
        root: the experiment's folder.
        plan: of the whole config.
        config_text: the resolved config.
        keep_old: leave runs that the config does not have where they are, instead of refusing them.
        reporter: hears what the user should know.

    Raises:
        NormbenchError: shards cannot be joined; then nothing was written.
    """
    reporter = reporter or Reporter()
    shards = shards_of(root)
    for place in (root, *shards):
        check_options(plan, place)
    with ResultsFolder(root) as folder:
        if any(run.older for run in plan.runs):
            plan = plan.with_older_ids(folder.run_ids())
        folder.open_for_run(plan, config_text, keep_old, skip_busy=True)
        for sentence in (*folder.warnings, *not_begun(shards)):
            reporter.message(sentence)
        ends = {run_id: outcome for run_id, (_, outcome) in folder.ends().items()}
        statuses = folder.statuses()
        counts = Counter(statuses[run_id] for run_id in {*ends, *plan.wanted(ends)})
    return Merged(root, tuple(shards), {name: counts[name] for name in STATUSES})
