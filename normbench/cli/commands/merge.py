"""`normbench merge`: join the shards of an experiment into its results folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from normbench.cli.options import DataDir, Json, Plugins
from normbench.cli.output import print_json, say
from normbench.counts import counted
from normbench.errors import ExitCode


def merge(
    results: Annotated[
        list[Path],
        typer.Argument(metavar="RESULTS", help="Experiments' folders, or folders of them."),
    ],
    data_dir: DataDir = None,
    plugin: Plugins = None,
    keep_old: Annotated[
        bool,
        typer.Option("--keep-old", help="Leave runs that the config does not have in the folders of shards."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Join what `run --shard I/N` trained into results/<name>/; train nothing.

    Shards with other settings or other data are refused, and the differences named. Other versions, machines
    or threads are said; environment.json has them all. The folders of the shards stay.

    \b
    Example:  normbench merge results/first_look
    """
    from normbench import api
    from normbench.cli.progress import reporter_for
    from normbench.records.shards import with_shards

    answers = []
    crashed = 0
    for root in dict.fromkeys(found for path in results for found in with_shards(path)):
        done = api.merge(
            root, data_dir=data_dir, plugins=plugin or (), keep_old=keep_old, reporter=reporter_for()
        )
        counts = {name: number for name, number in done.statuses.items() if number}
        crashed += counts.get("crashed", 0)
        say(f"{root}: {', '.join(f'{number:,} {name}' for name, number in counts.items()) or 'no runs'}")
        if left := sum(counts.get(name, 0) for name in ("pending", "interrupted")):
            say(
                f"{root}: {counted(left, 'run', 'have')} no result yet; train the other shards and merge "
                "again, or train them with: normbench run CONFIG"
            )
        shards = [str(shard) for shard in done.shards]
        answers.append({"name": root.name, "folder": str(root), "shards": shards, "statuses": done.statuses})
    if as_json:
        print_json(answers)
    if crashed:
        raise typer.Exit(int(ExitCode.CRASHED))
