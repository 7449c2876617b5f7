"""`normbench scorecard`: a report card of one normalization."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from normbench.cli.options import DataDir, Device, DeviceOption, Json, Plugins
from normbench.cli.output import duration, print_json, say, width
from normbench.counts import counted
from normbench.durations import seconds_of
from normbench.errors import ExitCode, NormbenchError

if TYPE_CHECKING:
    from normbench.cards.training import Trained


def scorecard(
    norm: Annotated[
        str, typer.Argument(metavar="NORM", help="A normalization of `normbench list norms`, or your own.")
    ],
    plugin: Plugins = None,
    against: Annotated[
        str, typer.Option(metavar="NORM,NORM,...", help="The normalizations to compare it with.")
    ] = "batchnorm,layernorm,none",
    budget: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="Training time, such as 90s, 10m or 1h. It decides which sections, sizes and seeds are "
            "trained, by the estimate of `plan`.",
        ),
    ] = "10m",
    data: Annotated[
        str,
        typer.Option(
            metavar="NAME|CONFIG",
            help="digits (embedded), mnist or cifar10; or a config (.yaml) with your own data, model, "
            "optimizer and steps. It may sweep model.depth and optimizer.lr.",
        ),
    ] = "digits",
    target: Annotated[
        Optional[float],
        typer.Option(
            metavar="SHARE",
            help="Test accuracy for steps and seconds to a target, such as 0.9. With a config, these rows "
            "need it.",
        ),
    ] = None,
    results: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder that holds the results folders.")
    ] = Path("results"),
    data_dir: DataDir = None,
    device: DeviceOption = Device.auto,
    as_json: Json = False,
) -> None:
    """Make a report card of a normalization: rates, speed, accuracy, sensitivities and cost, ranked.

    Writes scorecard.html, .md, .tex and .json to results/scorecard_<norm>_<data>/, beside a config and the
    records of each section. A larger budget adds sections, settings and seeds, and trains nothing twice.
    Ctrl-C keeps everything measured so far; the same command continues.

    \b
    Example:  normbench scorecard batchnorm --budget 2m
    """
    try:
        seconds = seconds_of(budget)
    except ValueError as error:
        raise NormbenchError(f"--budget: {error}") from None
    say(f"normbench: planning the card of {norm}")  # before torch is imported, which takes seconds
    from normbench.cards.make import scorecard as make_scorecard
    from normbench.cards.text import as_text
    from normbench.cli.commands.run import say_stopping
    from normbench.cli.progress import reporter_for
    from normbench.launch.stop import StopFlag
    from normbench.records.environment import program

    again = f"continue with:  {shlex.join([*program(sys.argv), *sys.argv[1:]])}"
    try:
        with StopFlag(say_stopping) as stop:
            found = make_scorecard(
                norm,
                [name.strip() for name in against.split(",") if name.strip()],
                budget=seconds,
                data=data,
                target=target,
                results=results,
                data_dir=data_dir,
                device=device.value,
                launcher="auto",
                plugins=plugin or (),
                reporter=reporter_for(),
                should_stop=stop,
            )
    except KeyboardInterrupt:  # while a section is planned, or the second one
        say(f"interrupted\n{again}")
        raise typer.Exit(int(ExitCode.INTERRUPTED)) from None
    _say_trained(found.trained)
    if found.trained.interrupted:
        say(f"interrupted; everything measured so far is in {found.folder}\n{again}")
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    if as_json:
        print_json(found.json)
    else:
        typer.echo(as_text(found.card, width()))
        typer.echo("\n".join(map(str, found.files)))
    if found.trained.crashed:
        raise typer.Exit(int(ExitCode.CRASHED))


def _say_trained(done: Trained) -> None:
    text = f"trained {counted(done.trained, 'run')} in {duration(done.seconds)}"
    if done.skipped:
        text += f"; {done.skipped:,} were there already"
    if done.crashed:
        text += f"; {done.crashed:,} crashed (why: the folders crashes/ of the sections)"
    say(text)
