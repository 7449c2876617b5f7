"""`normbench summary`: print the table that `run` prints at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from normbench.cli.options import Json, Plugins, Results
from normbench.cli.output import print_json, print_rich, say, width
from normbench.cli.plugins import load_named
from normbench.errors import NormbenchError


def summary(results: Results = Path("results"), as_json: Json = False, plugin: Plugins = None) -> None:
    """Print the results of each variant with intervals, as `run` does at its end, from the records.

    Works while a sweep trains.

    \b
    Example:  normbench summary results/quickstart
    """
    from normbench.analysis.summary import lost_at_once, summary_rows, summary_table
    from normbench.analysis.tables import load_tables
    from normbench.records import experiments_in

    load_named(plugin)
    answers: list[dict[str, Any]] = []
    failed: list[str] = []
    for folder in experiments_in(results):
        try:
            tables = load_tables(folder, without_damaged_metrics=True)
        except NormbenchError as error:
            failed.append(str(error))  # the other experiments are still shown
            continue
        for sentence in (*tables.warnings, *lost_at_once(tables)):
            say(sentence)
        if as_json:
            answers.append(
                {"experiment": tables.name, "title": tables.title, "variants": summary_rows(tables)}
            )
        elif tables.runs["outcome"].notna().any():
            print_rich(summary_table(tables, width()))
        else:
            say(f"{folder}: no run has an outcome yet")
    if as_json:
        print_json(answers)
    if failed:
        raise NormbenchError("\n".join(failed))
