"""`normbench plot`: draw the figures of an experiment."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer

from normbench.cli.options import Plugins, Results
from normbench.cli.output import say
from normbench.cli.plugins import load_named
from normbench.errors import NormbenchError
from normbench.paths import expanded


class Format(str, Enum):
    """File formats of figures."""

    png = "png"
    svg = "svg"
    pdf = "pdf"


def plot(
    results: Results = Path("results"),
    figure: Annotated[
        Optional[list[str]],
        typer.Option(metavar="NAME", help="Figure to draw (see `normbench list figures`); repeatable."),
    ] = None,
    x: Annotated[
        Optional[str], typer.Option("--x", metavar="KEY", help="Swept key, or step, on the horizontal axis.")
    ] = None,
    color: Annotated[
        Optional[str], typer.Option(metavar="KEY,...", help="Swept keys that get a color for each value.")
    ] = None,
    panel: Annotated[
        Optional[str], typer.Option(metavar="KEY,...", help="Swept keys with a panel for each value.")
    ] = None,
    formats: Annotated[
        Optional[list[Format]],
        typer.Option("--format", case_sensitive=False, help="File format; repeatable. Default: png and svg."),
    ] = None,
    target: Annotated[
        Optional[float], typer.Option(help="Accuracy for steps_to_target, such as 0.9.")
    ] = None,
    layer: Annotated[
        Optional[str],
        typer.Option("--layer", metavar="LAYER", help="Layer that a probe's figure shows, such as hidden.0."),
    ] = None,
    quantity: Annotated[
        Optional[list[str]],
        typer.Option(metavar="NAME", help="Quantity of layers.csv for layer_heatmap and layers; repeatable."),
    ] = None,
    step: Annotated[
        Optional[list[int]], typer.Option(help="Step that ridge and layers show; repeatable.")
    ] = None,
    rate: Annotated[
        Optional[str],
        typer.Option(
            "--rate",
            metavar="best|RATE",
            help="All variants' curves on one pair of axes: each at its best learning rate, or all at RATE.",
        ),
    ] = None,
    traces: Annotated[
        bool, typer.Option("--traces", help="Draw the line of each seed in the figures of curves, too.")
    ] = False,
    where: Annotated[
        Optional[list[str]],
        typer.Option(
            metavar="KEY=VALUE",
            help="Draw only runs with this value of a swept key; repeatable, also for one key.",
        ),
    ] = None,
    title: Annotated[Optional[str], typer.Option(help="Title in place of the experiment's.")] = None,
    no_caption: Annotated[
        bool,
        typer.Option("--no-caption", help="Leave out the line under the title, the warnings and the foot."),
    ] = False,
    width: Annotated[
        Optional[float], typer.Option(metavar="INCHES", help="Width of each page, such as 6.5.")
    ] = None,
    font_size: Annotated[
        Optional[float],
        typer.Option(
            metavar="POINTS", help="Size of the letters, usually 9; lines and marks grow with them."
        ),
    ] = None,
    out: Annotated[
        Optional[Path], typer.Option(help="Folder for the figures. Default: RESULTS/plots.")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Draw the figures of an experiment, or of all in a folder, from its CSV files; print their paths.

    \b
    Example:  normbench plot results/quickstart --figure rate --color model.norm
    """
    from normbench.plots import plot_each
    from normbench.plots.paper import Paper
    from normbench.plots.rendering import helping
    from normbench.records import experiments_in
    from normbench.records.gaps import gaps_of

    load_named(plugin)
    paper = Paper(title, not no_caption, width, font_size)
    folders = experiments_in(results)
    out = expanded(out, "--out") if out is not None else None
    kinds = [one.value for one in formats] if formats else ["png", "svg"]
    failed: list[str] = []
    with helping(folders, figure or None) as helper:
        for folder in folders:
            place = out / folder.resolve().name if out is not None and len(folders) > 1 else out
            try:
                for sentence in gaps_of(folder):
                    say(sentence)
                for path in plot_each(
                    folder,
                    figures=figure or None,
                    x=x,
                    color=color,
                    panel=panel,
                    formats=kinds,
                    target=target,
                    out=place,
                    layer=layer,
                    quantities=quantity,
                    steps=step,
                    rate=rate,
                    where=where or (),
                    traces=traces,
                    paper=paper,
                    helper=helper,
                ):
                    typer.echo(str(path))
            except NormbenchError as error:
                failed.append(str(error))  # the other experiments are still drawn
    if failed:
        raise NormbenchError("\n".join(dict.fromkeys(failed)))
