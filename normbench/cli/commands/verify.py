"""`normbench verify`: judge the claims of an experiment."""

from __future__ import annotations

import math
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from normbench.cli.options import Book, Json, Plugins
from normbench.cli.output import print_json, print_table, say
from normbench.cli.plugins import load_named
from normbench.counts import counted
from normbench.errors import ExitCode, NormbenchError

if TYPE_CHECKING:
    from normbench.analysis.judge import Verdict
    from normbench.analysis.verify import Verified


class Correction(str, Enum):
    """How the verdicts of one config are corrected for their number."""

    holm = "holm"
    none = "none"


def verify(
    results: Book = None,
    as_json: Json = False,
    correction: Annotated[
        Correction,
        typer.Option(
            help="holm: all verdicts of an experiment hold together at 95 %; none: each one by itself."
        ),
    ] = Correction.holm,
    plugin: Plugins = None,
) -> None:
    """Judge the claims of experiments, or of all in a folder; write claims.csv. Exit code 3: refuted.

    Claims that are marked `primary: true` are corrected together over all experiments that are named, by
    Benjamini and Hochberg at 5 %.

    \b
    Example:  normbench verify results/bn_larger_lr_mnist
    """
    from normbench.analysis.verify import correct_book, verdict_row, write_claims
    from normbench.analysis.verify import verify as judge
    from normbench.records import experiments_in

    load_named(plugin)
    done: list[Verified] = []
    failed: list[str] = []
    unwritten: set[Path] = set()
    named = [folder for path in results or [Path("results")] for folder in experiments_in(path)]
    for folder in list({folder.resolve(): folder for folder in named}.values()):
        try:
            one = judge(folder, correction.value, write=False)
        except NormbenchError as error:
            failed.append(str(error))  # the other experiments are still judged
            continue
        done.append(one)
    done = correct_book(done)
    for one in done:
        try:
            if one.verdicts:
                write_claims(one)
        except NormbenchError as error:
            unwritten.add(one.folder)  # its verdicts are still shown
            failed.append(_unwritten(one, error))
    for one in done:
        for sentence in one.missing:
            say(sentence)
    if as_json:
        print_json([{"experiment": one.name, **verdict_row(v)} for one in done for v in one.verdicts])
    else:
        for one in done:
            _print(one, written=one.folder not in unwritten)
        _print_book(done)
    if failed:
        raise NormbenchError("\n".join(failed))
    if any(one.refuted for one in done):
        raise typer.Exit(int(ExitCode.REFUTED))


def _unwritten(one: Verified, error: NormbenchError) -> str:
    """Return why claims.csv was not written, and how to get the verdicts into another file."""
    if not isinstance(cause := error.__cause__, OSError):
        return str(error)
    return (
        f"{one.folder / 'claims.csv'}: cannot be written: {cause.strerror or cause}; the verdicts shown are "
        f"complete; write them elsewhere: normbench verify {one.folder} --json > FILE"
    )


def _print(one: Verified, written: bool) -> None:
    if not one.verdicts:
        say(f"{one.folder}: its config has no claims; write some (`normbench init claim`) and run it again")
        return
    rows = [
        [
            verdict.id + (f"\n{verdict.group}" if verdict.group else ""),
            verdict.verdict,
            _numbers(verdict),
            verdict.n,
            verdict.reason,
        ]
        for verdict in one.verdicts
    ]
    heads = ["claim", "verdict", "estimate\n[95 % interval]", "n", "reason"]
    where = f"written to {one.folder / 'claims.csv'}" if written else "not written"
    print_table(f"{one.name}: {counted(len(rows), 'verdict')}, {where}", heads, rows)


def _print_book(done: list[Verified]) -> None:
    """Print the primary verdicts of several results, by themselves, in their family and in the book."""
    primaries = [(one.name, verdict) for one in done for verdict in one.verdicts if verdict.claim.primary]
    if len(primaries) < 2:
        return
    rows = [
        [
            name,
            one.id,
            f"{one.alone}\n{_p(one.p)}",
            f"{one.verdict}\n{_p(one.p_family)}",
            f"{one.in_book}\n{_p(one.p_book)}",
        ]
        for name, one in primaries
    ]
    heads = ["experiment", "claim", "by itself", "in its family\n(Holm)", "in the book\n(Benjamini-Hochberg)"]
    print_table(f"{counted(len(rows), 'primary verdict')}, corrected together at 5 %", heads, rows)


def _p(value: float) -> str:
    return "no p" if math.isnan(value) else f"p = {value:.2g}"


def _numbers(one: Verdict) -> str | None:
    """Return the estimate above its interval; nothing where neither is known."""
    from normbench.analysis.comparison import shown

    estimate, *ends = (shown(value, one.claim) for value in (one.estimate, one.ci_low, one.ci_high))
    if math.isnan(one.estimate) and math.isnan(one.ci_low):
        return None
    return estimate if math.isnan(one.ci_low) else f"{estimate}\n[{', '.join(ends)}]"
