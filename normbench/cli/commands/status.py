"""`normbench status`: count the runs by status and outcome."""

from __future__ import annotations

from pathlib import Path

import typer

from normbench.cli.options import Json, Results
from normbench.cli.output import duration, print_json, print_table, say
from normbench.names import OUTCOMES, STATUSES

COLUMNS = 80  # of the table where stdout is not a terminal: a file or a pager is read in a window


def status(results: Results = Path("results"), as_json: Json = False) -> None:
    """Count the runs of an experiment, or of all in a folder, by status and outcome; say the time left.

    Shards (`run --shard`) have rows of their own.

    Works while a sweep trains. The time left is an estimate from the runs that have ended. It excludes
    evaluation and start-up, and crashed runs, which only `run --retry crashed` trains again.

    \b
    Example:  normbench status results/
    """
    from normbench.records import experiments_in, folder_status
    from normbench.records.shards import not_begun_in

    folders = experiments_in(results, shards=True)
    found = [(folder, folder_status(folder)) for folder in folders]
    if as_json:
        print_json(
            [
                {
                    "name": one.name,
                    "folder": str(folder),
                    "runs": one.total,
                    "statuses": one.statuses,
                    "outcomes": one.outcomes,
                    "seconds_left": one.seconds_left,
                    "written_by": one.holder,
                    "warnings": one.warnings,
                }
                for folder, one in found
            ]
        )
        return
    everything = [one for _, one in found]
    statuses = [name for name in STATUSES if any(one.statuses[name] for one in everything)]
    # of a run that diverged or crashed, the status has said it already
    outcomes = [
        name
        for name in OUTCOMES
        if name not in STATUSES and any(one.outcomes.get(name) for one in everything)
    ]
    counts = [*(_short(name) for name in statuses), *outcomes]
    rows = [
        [
            one.name,
            one.total,
            *(one.statuses[name] for name in statuses),
            *(one.outcomes[name] for name in outcomes),
        ]
        for one in everything
    ]
    print_table(
        str(results), ["experiment", "runs", *counts], rows, right=len(counts) + 1, most=COLUMNS, tight=True
    )
    for one in everything:
        if one.seconds_left != 0:
            typer.echo(f"{one.name}: {_time_left(one.seconds_left)}")
    for sentence in not_begun_in(folders):
        typer.echo(sentence)
    for folder, one in found:
        if one.holder:
            say(f"{folder}: is being written by {one.holder}")
        for warning in one.warnings:
            say(warning)


def _short(name: str) -> str:
    """Return a status as a head that leaves room for the others."""
    return "inter-\nrupted" if name == "interrupted" else name


def _time_left(seconds: float | None) -> str:
    """Return the time left as text."""
    return "the time left is not known yet" if seconds is None else f"about {duration(seconds)} left"
