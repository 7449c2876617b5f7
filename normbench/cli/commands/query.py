"""`normbench query`: print the runs that meet a condition, for scripts."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from normbench.cli.options import Json, Plugins, Results
from normbench.cli.output import exact, print_json, say
from normbench.cli.plugins import load_named


def query(
    results: Results,
    where: Annotated[
        Optional[str],
        typer.Argument(
            metavar="CONDITION", help="Such as \"optimizer.lr >= 0.1 and outcome == 'trains'\". Default: all."
        ),
    ] = None,
    as_json: Json = False,
    plugin: Plugins = None,
) -> None:
    """Print the runs that meet a condition, with the columns of runs.csv, as CSV or JSON.

    The condition has the columns of runs.csv, all settings (also those that are not swept) under their dotted
    keys, `experiment`, numbers, texts in quotes, == != < <= > >=, in, and, or, not, + - * /. An empty cell is
    None.

    \b
    Example:  normbench query results/quickstart "model.norm == 'batchnorm' and optimizer.lr >= 0.1"
    """
    from normbench.analysis.query import select
    from normbench.records import experiments_in
    from normbench.records.schema import format_cell, line, safe_text

    load_named(plugin)
    found = select(experiments_in(results), where, say)
    if as_json:
        print_json([{name: exact(value) for name, value in row.items()} for row in found.rows])
    else:
        lines = [map(safe_text, found.columns), *(map(format_cell, row.values()) for row in found.rows)]
        typer.echo(b"".join(map(line, lines)).decode("utf-8"), nl=False)
    if not found.rows:
        say("no run meets the condition")
