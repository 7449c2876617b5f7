"""The commands that look at what is there: status, plot, data and list."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from normbench.cli.app import DataDir, Json, Plugins, Results
from normbench.cli.show import amount, print_json, print_table, say
from normbench.errors import NormbenchError


class Kind(str, Enum):
    """The kinds that `list` knows."""

    norms = "norms"
    models = "models"
    data = "data"
    optimizers = "optimizers"
    activations = "activations"
    probes = "probes"
    measures = "measures"
    figures = "figures"
    recipes = "recipes"


class Format(str, Enum):
    """File formats of figures."""

    png = "png"
    svg = "svg"
    pdf = "pdf"


def status(results: Results = Path("results"), as_json: Json = False) -> None:
    """Count the runs of an experiment, or of all in a folder, by status and outcome; say the time left.

    Also while a sweep is training. The time left is an estimate from the runs that have ended, evaluation and
    start left out; crashed runs are not in it, since they are trained again only with `run --retry crashed`.

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
        [one.name, one.total, *one.statuses.values(), *one.outcomes.values(), time_left(one.seconds_left)]
        for _, one in found
    ]
    print_table(str(results), heads, rows, right=len(heads) - 1)
    for folder, one in found:
        if one.holder:
            say(f"{folder}: is being written by {one.holder}")
        for warning in one.warnings:
            say(warning)


def time_left(seconds: float | None) -> str | None:
    """Return the time left as text; None where nothing is left."""
    from normbench.cli.progress import duration

    if seconds is None:
        return "unknown"
    return f"about {duration(seconds)}" if seconds else None


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
        Optional[str], typer.Option(metavar="KEY,...", help="Swept keys that colors tell apart.")
    ] = None,
    panel: Annotated[
        Optional[str], typer.Option(metavar="KEY,...", help="Swept keys with a panel for each value.")
    ] = None,
    formats: Annotated[
        Optional[list[Format]],
        typer.Option("--format", help="File format; repeatable. Default: png and svg."),
    ] = None,
    target: Annotated[
        Optional[float], typer.Option(help="Accuracy for steps_to_target, such as 0.9.")
    ] = None,
    layer: Annotated[
        Optional[str],
        typer.Option(metavar="LAYER", help="Layer that a probe's figure shows: hidden.0."),
    ] = None,
    quantity: Annotated[
        Optional[list[str]],
        typer.Option(metavar="NAME", help="Quantity of layers.csv for layer_heatmap and layers; repeatable."),
    ] = None,
    step: Annotated[
        Optional[list[int]], typer.Option(help="Step that ridge and layers show; repeatable.")
    ] = None,
    out: Annotated[
        Optional[Path], typer.Option(help="Folder for the figures. Default: RESULTS/plots.")
    ] = None,
) -> None:
    """Draw the figures of an experiment, or of all in a folder, from its CSV files; print their paths.

    \b
    Example:  normbench plot results/quickstart --figure rate --color model.norm
    """
    from normbench.plots import plot_results
    from normbench.records import experiments_in

    folders = experiments_in(results)
    kinds = [one.value for one in formats] if formats else ["png", "svg"]
    failed: list[str] = []
    for folder in folders:
        place = out / folder.resolve().name if out is not None and len(folders) > 1 else out
        try:
            for path in plot_results(
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
            ):
                typer.echo(str(path))
        except NormbenchError as error:
            failed.append(str(error))  # the other experiments are still drawn
    if failed:
        raise NormbenchError("\n".join(dict.fromkeys(failed)))


def data(
    names: Annotated[
        Optional[list[str]],
        typer.Argument(metavar="NAME", help="Data sets to fetch if they are not there."),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show which data sets are there and where; fetch those that are named.

    \b
    Examples: normbench data
              normbench data mnist fashion_mnist
    """
    from normbench.data import DATASETS, describe_all, fetch

    for name in names or ():
        _ = DATASETS[name]  # raises for a misspelt name before anything is fetched
    for name in names or ():
        say(f"{name}: in {fetch(name, data_dir)}")
    found = describe_all(data_dir)
    if as_json:
        print_json([vars(one) for one in found])
        return
    rows = [
        [
            one.name,
            one.available,
            amount(one.size_bytes, "B") if one.size_bytes else None,
            one.where,
            one.summary,
        ]
        for one in found
    ]
    print_table("Data sets", ["name", "there", "size", "where", "summary"], rows)


def list_(
    kind: Annotated[Kind, typer.Argument(metavar="KIND", help="|".join(kind.value for kind in Kind))],
    plugin: Plugins = None,
    as_json: Json = False,
) -> None:
    """List norms, models, data sets, activations, optimizers, probes, measures, figures or recipes.

    \b
    Examples: normbench list norms --json
              normbench list norms --plugin my_norm.py
    """
    from normbench.plugins import load_plugins

    load_plugins(plugin or ())
    rows = entries(kind)
    if as_json:
        print_json(rows)
        return
    heads = ["name", "summary", "paper"] if any(row["paper"] for row in rows) else ["name", "summary"]
    print_table(kind.value, heads, [[row[head] or None for head in heads] for row in rows])


def entries(kind: Kind) -> list[dict[str, Any]]:
    """Return name, summary and paper of everything of one kind."""
    if kind is Kind.recipes:
        from normbench.recipes import recipes

        return [{"name": one.name, "summary": one.summary, "paper": ""} for one in recipes()]
    if kind is Kind.activations:
        import inspect

        from normbench.nn.layers import ACTIVATIONS

        return [
            {"name": name, "summary": (inspect.getdoc(cls) or "").partition("\n")[0], "paper": ""}
            for name, cls in ACTIVATIONS.items()
        ]
    rows = [
        {"name": cls.key(), "summary": cls.summary(), "paper": cls.paper} for cls in _registry(kind).classes()
    ]
    if kind is Kind.probes:
        for row, cls in zip(rows, _registry(kind).classes(), strict=True):
            row["quantities"] = [
                {"name": one.listed, "label": one.label, "unit": one.unit or None, "of": one.of}
                for one in cls.quantities
            ]
    return rows


def _registry(kind: Kind) -> Any:
    if kind is Kind.norms:
        from normbench.norms import NORMS

        return NORMS
    if kind is Kind.models:
        from normbench.models import MODELS

        return MODELS
    if kind is Kind.data:
        from normbench.data import DATASETS

        return DATASETS
    if kind is Kind.probes:
        from normbench.probes import PROBES

        return PROBES
    if kind is Kind.measures:
        from normbench.measures import MEASURES

        return MEASURES
    if kind is Kind.figures:
        from normbench.plots.figures import FIGURES

        return FIGURES
    from normbench.optimizers import OPTIMIZERS

    return OPTIMIZERS
