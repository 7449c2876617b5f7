"""`normbench list`: name what a config can choose from."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

import typer

from normbench.cli.options import Json, Plugins
from normbench.cli.output import print_json, print_table


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
    exports = "exports"
    recipes = "recipes"


def list_(
    kind: Annotated[
        Kind, typer.Argument(metavar="KIND", case_sensitive=False, help="|".join(kind.value for kind in Kind))
    ],
    plugin: Plugins = None,
    as_json: Json = False,
) -> None:
    """List norms, models, data sets, activations, optimizers, probes, measures, figures, exports or recipes.

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
    """Return name, summary and paper of each entry of one kind."""
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
    if kind is Kind.exports:
        from normbench.exports import EXPORTS

        return EXPORTS
    from normbench.optimizers import OPTIMIZERS

    return OPTIMIZERS
