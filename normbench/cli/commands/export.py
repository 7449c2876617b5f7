"""`normbench export`: write records for another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from normbench.cli.options import Plugins, Results
from normbench.cli.output import say
from normbench.cli.plugins import load_named
from normbench.paths import expanded


def export(
    to: Annotated[
        str,
        typer.Option("--to", metavar="TARGET", help="One of `list exports`, such as tensorboard or latex."),
    ],
    results: Results = Path("results"),
    output: Annotated[
        Optional[Path],
        typer.Option(
            "--output", "-o", metavar="DIR", help="Folder to write into. Default: RESULTS/exports/TARGET."
        ),
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Write an experiment, or all in a folder, for another tool; print the paths.

    Each experiment has a folder of its name in DIR; MLflow has one database, DIR/mlflow.db, for all. The
    records stay as they are. Exporting again replaces an older export of the same experiments.

    \b
    Example:  normbench export results/quickstart --to tensorboard
    """
    from normbench.exports import EXPORTS, FOLDER
    from normbench.exports import export as exported
    from normbench.records import experiments_in

    load_named(plugin)
    target = EXPORTS[to].key()
    folders = experiments_in(results)
    place = (
        expanded(output, "--output") if output is not None else expanded(results, "results") / FOLDER / target
    )
    for path in exported(folders, target, place, say):
        typer.echo(str(path))
