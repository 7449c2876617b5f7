"""`normbench status`: count the runs by status and outcome."""

from __future__ import annotations

from pathlib import Path

from normbench.cli.options import Json, Results
from normbench.cli.output import duration, print_json, print_table, say


def status(results: Results = Path("results"), as_json: Json = False) -> None:
    """Count the runs of an experiment, or of all in a folder, by status and outcome; say the time left.

    Works while a sweep trains. The time left is an estimate from the runs that have ended. It excludes
    evaluation and start-up, and crashed runs, which only `run --retry crashed` trains again.

    \b
    Example:  normbench status results/
    """
    from normbench.records import experiments_in, folder_status

    found = [(folder, folder_status(folder)) for folder in experiments_in(results)]
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
    statuses, outcomes = list(found[0][1].statuses), list(found[0][1].outcomes)
    heads = ["experiment", "runs", *statuses, *(f"outcome\n{outcome}" for outcome in outcomes), "time left"]
    rows = [
        [one.name, one.total, *one.statuses.values(), *one.outcomes.values(), _time_left(one.seconds_left)]
        for _, one in found
    ]
    print_table(str(results), heads, rows, right=len(heads) - 1)
    for folder, one in found:
        if one.holder:
            say(f"{folder}: is being written by {one.holder}")
        for warning in one.warnings:
            say(warning)


def _time_left(seconds: float | None) -> str | None:
    """Return the time left as text; None where nothing is left."""
    if seconds is None:
        return "unknown"
    return f"about {duration(seconds)}" if seconds else None
