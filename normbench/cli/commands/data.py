"""`normbench data`: show the data sets and fetch those that are named."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from normbench.cli.options import DataDir, Json
from normbench.cli.output import amount, print_json, print_table, say


def data(
    names: Annotated[
        Optional[list[str]],
        typer.Argument(metavar="NAME", help="Data sets to fetch if they are missing."),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show which data sets are available and where; fetch those that are named.

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
