"""`normbench compare`: find what moved between two results of the same experiments."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from normbench.cli.options import Json
from normbench.cli.output import print_json, print_table, say
from normbench.errors import ExitCode

if TYPE_CHECKING:
    from normbench.analysis.compare_results import Compared, Difference

SHOWN = 40  # cells that moved in the text; --json has all


def compare(
    one: Annotated[Path, typer.Argument(metavar="A", help="An experiment's folder, or a folder of them.")],
    other: Annotated[
        Path,
        typer.Argument(metavar="B", help="The same experiments, trained elsewhere or with another version."),
    ],
    ignore: Annotated[
        Optional[list[str]],
        typer.Option(metavar="KEY", help="A setting in which the two may differ; repeatable."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare two results of the same experiments (two versions, two machines). Exit code 4: they differ.

    Cells are matched by their settings and compared over shared seeds, pair by pair: the largest rate that
    trains, final test accuracy and loss. `moved`: the 95 % interval of B - A, or of B / A, lies beyond 0.001
    (accuracy), 1 % (loss), 1 (rate), with Holm's correction for all cells and measures.

    \b
    Example:  normbench compare results/bn_larger_lr_mnist other_machine/bn_larger_lr_mnist
    """
    from normbench.analysis.compare_results import compare as held_against

    found = held_against(one, other, ignore or ())
    for sentence in (*found.sources, *found.apart):
        say(sentence)
    if as_json:
        print_json(_answer(found))
    else:
        _print(found, f"A: {one}, B: {other}")
    if found.moved:
        raise typer.Exit(int(ExitCode.DIFFERENT))


def _answer(found: Compared) -> dict[str, Any]:
    from normbench.analysis.verify import plain

    cells = [
        {
            **{key: getattr(one, key) for key in ("experiment", "measure", "cell")},
            "scale": "ratio" if one.ratio else "difference",
            "estimate": plain(one.interval.estimate),
            "ci_low": plain(one.interval.low),
            "ci_high": plain(one.interval.high),
            "n": one.interval.n,
            "p": plain(one.p),
            "moved": one.moved,
        }
        for one in found.differences
    ]
    claims = [{**vars(change), "flipped": change.flipped} for change in found.changes]
    return {
        "moved": found.moved,
        "cells": cells,
        "claims": claims,
        "not_compared": found.apart,
        "different_plugins": found.sources,
    }


def _print(found: Compared, title: str) -> None:
    heads = ["experiment", "measure", "cells", "n", "moved"]
    kinds: dict[tuple[str, str], list[Difference]] = {}
    for one in found.differences:
        kinds.setdefault((one.experiment, one.measure), []).append(one)
    rows = [
        [*kind, len(ones), _span([one.interval.n for one in ones]), sum(one.moved for one in ones)]
        for kind, ones in kinds.items()
    ]
    print_table(title, heads, rows, right=3)
    moved = [one for one in found.differences if one.moved]
    if moved:
        rows = [[one.experiment, one.measure, one.cell, _interval(one), one.interval.n] for one in moved]
        heads = ["experiment", "measure", "cell", "B / A or B - A\n[95 % interval]", "n"]
        print_table("Moved beyond noise", heads, rows[:SHOWN], right=2)
        if len(rows) > SHOWN:
            typer.echo(f"... and {len(rows) - SHOWN} more (all: --json)")
    if found.changes:
        rows = [[one.experiment, one.id, one.group, one.before, one.after] for one in found.changes]
        print_table("Claims with another verdict", ["experiment", "claim", "", "in A", "in B"], rows)
    typer.echo(
        f"{len(moved)} of {len(found.differences)} comparisons moved beyond noise (Holm's correction for "
        f"all); {len(found.changes)} of {found.claims} verdicts on claims changed."
    )
    few = sum(one.interval.n < 3 for one in found.differences)
    if few:
        typer.echo(f"{few} have fewer than 3 shared seeds and are not judged.")


def _span(counts: list[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low}" if low == high else f"{low} to {high}"


def _interval(one: Difference) -> str:
    from normbench.analysis.variants import number

    sign = "x" if one.ratio else ""
    texts = [
        f"{number(value)}{sign}" for value in (one.interval.estimate, one.interval.low, one.interval.high)
    ]
    return f"{texts[0]} [{texts[1]}, {texts[2]}]"
