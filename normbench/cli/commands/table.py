"""`normbench table`: print verdicts or summary as a table for a paper."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer

from normbench.cli.options import Plugins, Results
from normbench.cli.output import say
from normbench.cli.plugins import load_named
from normbench.errors import NormbenchError, did_you_mean, one_of


class What(str, Enum):
    """The tables that there are."""

    verdicts = "verdicts"
    summary = "summary"


def table(
    results: Results = Path("results"),
    format_: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="latex (with the package booktabs) or markdown.")
    ] = "markdown",
    what: Annotated[
        Optional[What],
        typer.Option(
            case_sensitive=False,
            help="verdicts of the claims, or summary of the variants. Default: verdicts if there are claims.",
        ),
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Print the verdicts on an experiment, or the summary of its variants, as a table for a paper.

    Of a folder of experiments, each has a table of its own. `normbench export` writes the same into files.

    \b
    Example:  normbench table results/quickstart --format latex
    """
    from normbench.exports import EXPORTS
    from normbench.exports.base import Source
    from normbench.exports.tables import TableTarget, tables_of
    from normbench.records import experiments_in

    load_named(plugin)
    formats = [cls.key() for cls in EXPORTS.classes() if issubclass(cls, TableTarget)]
    target = EXPORTS[format_]() if format_.casefold() in EXPORTS else None
    if not isinstance(target, TableTarget):
        raise NormbenchError(
            f"format: '{format_}' is no format of tables; {did_you_mean(format_, formats)}{one_of(formats)}"
        )
    wanted = what.value if what else None
    printed = False
    for folder in experiments_in(results):
        source = Source(folder, say)
        found = next(tables_of(source, wanted), None)
        if found is None:
            say(f"{folder}: its config has no claims; --what summary makes a table of its variants")
            continue
        typer.echo(("\n" if printed else "") + target.text(found, source.name), nl=False)
        printed = True
