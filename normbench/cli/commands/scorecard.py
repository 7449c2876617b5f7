"""`normbench scorecard`: a report card of one normalization."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from normbench.cli.options import DataDir, Device, DeviceOption, Json, Plugins
from normbench.cli.output import duration, print_json, print_table, say
from normbench.durations import seconds_of
from normbench.errors import ExitCode, NormbenchError

if TYPE_CHECKING:
    from normbench.scorecard.card import Card
    from normbench.scorecard.training import Prepared, Trained


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
        str, typer.Option(metavar="NAME", help="digits (embedded), mnist or cifar10.")
    ] = "digits",
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
    from normbench.cli.commands.run import say_stopping
    from normbench.cli.progress import reporter_for
    from normbench.launch.stop import StopFlag
    from normbench.records.environment import program
    from normbench.scorecard.card import make_card
    from normbench.scorecard.pages import as_json as card_json
    from normbench.scorecard.pages import write_pages
    from normbench.scorecard.training import Request, prepare, train

    others = [name.strip() for name in against.split(",") if name.strip()]
    request = Request(
        norm=norm,
        against=others,
        data=data,
        budget=seconds,
        results=results,
        data_dir=data_dir,
        device=device.value,
        launcher="auto",
        plugins=plugin or (),
    )
    prepared = prepare(request, say)
    _say_plan(prepared)
    with StopFlag(say_stopping) as stop:
        done = train(prepared, reporter_for(), stop)
    _say_trained(done)
    if done.interrupted:
        command = shlex.join([*program(sys.argv), *sys.argv[1:]])
        say(f"interrupted; everything measured so far is in {prepared.folder}\ncontinue with:  {command}")
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    card = make_card(prepared)
    paths = write_pages(card)
    if as_json:
        print_json(card_json(card))
    else:
        _print(card)
        typer.echo("\n".join(map(str, paths)))
    if done.crashed:
        raise typer.Exit(int(ExitCode.CRASHED))


def _say_plan(prepared: Prepared) -> None:
    """Say what will be trained, and what is left out."""
    chosen = prepared.chosen
    say(f"{prepared.folder}: about {duration(chosen.seconds)} of training, if nothing is there yet")
    if chosen.left_out:
        say("left out for want of budget: " + "; ".join(rung.adds for rung in chosen.left_out))


def _say_trained(done: Trained) -> None:
    text = f"trained {done.trained:,} runs in {duration(done.seconds)}"
    if done.skipped:
        text += f"; {done.skipped:,} were there already"
    if done.crashed:
        text += f"; {done.crashed:,} crashed (why: the folders crashes/ of the sections)"
    say(text)


def _print(card: Card) -> None:
    """Print the rows with their ranks, and where the normalization is worse and better."""
    from normbench.scorecard import words
    from normbench.scorecard.pages import budget_text, heading, lists

    rows = [
        [f"{row.setting}: {words.title(row)}" if row.setting else words.title(row)]
        + [_cell(words.shown(e.value.estimate, row.unit), words.rank(e)) for e in row.entries]
        for row in card.rows
    ]
    print_table(f"{heading(card)} (in brackets: the rank)", ["", *card.prepared.norms], rows)
    for head, found in lists(card):
        typer.echo(f"{head}:" + ("" if found else " nowhere that these seeds could show"))
        for row, texts in found:
            typer.echo(f"  {row}: " + "; ".join(text for text, _ in texts))
    typer.echo(budget_text(card))


def _cell(value: str, rank: str) -> str:
    return f"{value} ({rank})" if value and rank else value or "-"
