"""The verb that judges: verify."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from normbench.cli.app import Json, Results
from normbench.cli.show import print_json, print_table, say
from normbench.errors import ExitCode, NormbenchError

if TYPE_CHECKING:
    from normbench.verify import Verified


class Correction(str, Enum):
    """How many verdicts of one file are corrected for their number."""

    holm = "holm"
    none = "none"


def verify(
    results: Results = Path("results"),
    as_json: Json = False,
    correction: Annotated[
        Correction,
        typer.Option(help="holm: the verdicts of an experiment hold together at 95 %; none: each by itself."),
    ] = Correction.holm,
) -> None:
    """Judge the claims of an experiment, or of all in a folder; write claims.csv. Exit code 3: refuted.

    \b
    Example:  normbench verify results/bn_larger_lr_mnist
    """
    from normbench.records import experiments_in
    from normbench.verify import verdict_row
    from normbench.verify import verify as judge

    done: list[Verified] = []
    failed: list[str] = []
    for folder in experiments_in(results):
        try:
            done.append(judge(folder, correction.value))
        except NormbenchError as error:
            failed.append(str(error))  # the other experiments are judged all the same
    for one in done:
        for sentence in one.missing:
            say(sentence)
    if as_json:
        print_json([{"experiment": one.name, **verdict_row(v)} for one in done for v in one.verdicts])
    else:
        for one in done:
            _print(one)
    if failed:
        raise NormbenchError("\n".join(failed))
    if any(one.refuted for one in done):
        raise typer.Exit(int(ExitCode.REFUTED))


def _print(one: Verified) -> None:
    from normbench.comparison import shown

    if not one.verdicts:
        say(f"{one.folder}: its config has no claims; write some (`normbench init claim`) and run it again")
        return
    rows = [
        [
            verdict.id + (f"\n{verdict.group}" if verdict.group else ""),
            verdict.verdict,
            f"{shown(verdict.estimate, verdict.claim)}\n"
            f"[{shown(verdict.ci_low, verdict.claim)}, {shown(verdict.ci_high, verdict.claim)}]",
            verdict.n,
            verdict.reason,
        ]
        for verdict in one.verdicts
    ]
    heads = ["claim", "verdict", "estimate\n[95 % interval]", "n", "reason"]
    print_table(f"{one.name}: {len(rows)} verdicts, written to {one.folder / 'claims.csv'}", heads, rows)
