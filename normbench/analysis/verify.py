"""Judges the claims of one experiment from the CSV files and config.yaml in its folder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from normbench.analysis.judge import Correction, Verdict, claims_of, judge_all
from normbench.analysis.sequential import Known, changed, standings, told
from normbench.analysis.tables import Tables, load_tables, seeds_of
from normbench.analysis.variants import refining
from normbench.counts import counted
from normbench.errors import RecordsError
from normbench.markup import html_table
from normbench.records.claim_notes import late_claims
from normbench.records.gaps import gaps_of
from normbench.records.looks import FILE as LOOKS
from normbench.records.looks import read_looks
from normbench.stats.corrections import benjamini_hochberg

COLUMNS = (
    *("id", "statement", "verdict", "estimate", "ci_low", "ci_high", "n", "reason"),
    *("group", "measure", "expected", "steps", "source", "estimator"),
    *("family", "primary", "p", "p_family", "p_book", "book"),
)


_SHOWN = ("id", "group", "statement", "verdict", "estimate", "ci_low", "ci_high", "n", "reason")


@dataclass(frozen=True, repr=False)
class Verified:
    """The verdicts on one experiment, and sentences about what its folder lacks."""

    folder: Path
    name: str
    verdicts: list[Verdict]
    missing: list[str]

    @property
    def refuted(self) -> bool:
        """Return whether any claim is refuted."""
        return any(one.verdict == "refuted" for one in self.verdicts)

    def __repr__(self) -> str:
        words = ", ".join(f"{one.id}: {one.verdict}" for one in self.verdicts) or "no claims"
        return f"Verified({str(self.folder)!r}: {words})"

    def _repr_html_(self) -> str:
        """Return the table of the verdicts for a notebook."""
        rows = [[row[key] for key in _SHOWN] for row in map(verdict_row, self.verdicts)]
        title = (
            f"{self.name}: {counted(len(rows), 'verdict')}"
            if rows
            else f"{self.name}: its config has no claims"
        )
        return html_table(title, _SHOWN, rows, self.missing)


def verify(
    folder: Path | str, correction: Correction = "holm", write: bool = True, known: Known | None = None
) -> Verified:
    """Judge the claims of one experiment and write the verdicts to its claims.csv.

    Args:
        folder: of the experiment.
        correction: for the number of verdicts.
        write: whether to write claims.csv.
        known: verdicts at looks that were judged on these records before.

    Returns:
        The verdicts, and sentences about what the folder lacks.

    Raises:
        RecordsError: the folder has no runs, or no config.yaml, which has the claims.
    """
    folder = Path(folder)
    if not (folder / "config.yaml").is_file():
        raise RecordsError(
            f"{folder / 'config.yaml'}: not there; the claims are in it, so nothing can be judged; run the "
            "config again to restore it"
        )
    tables = load_tables(folder, without_damaged_metrics=True)
    looks, other = read_looks(folder), list[str]()
    if looks and claims_of(tables):
        found = standings(tables, looks, known=known)
        verdicts = [told(one, correction) for one in found]
        other = [f"{folder / LOOKS}: {sentence}" for sentence in changed(found, looks)]
    else:
        verdicts = judge_all(tables, correction)
    gaps = gaps_of(folder) if not tables.metrics.empty else []
    notes = [f"{folder / 'runs.csv'}: {note}" for note in tables.notes]
    late = late_claims(folder, tables.config.get("claims"))
    said = [*tables.warnings, *gaps, *notes, *_missing(tables, bool(looks)), *late, *other]
    verified = correct_book([Verified(folder, tables.name, verdicts, said)])[0]
    if write and verdicts:
        write_claims(verified)
    return verified


def write_claims(one: Verified) -> None:
    """Write the verdicts on an experiment to its claims.csv; RecordsError if that cannot be written."""
    from normbench.records import write_csv

    rows = [list(verdict_row(verdict).values()) for verdict in one.verdicts]
    write_csv(one.folder / "claims.csv", COLUMNS, rows)


def correct_book(book: Sequence[Verified]) -> list[Verified]:
    """Return the results with their primary verdicts corrected together, by Benjamini and Hochberg at 5 %.

    A primary verdict that nothing decides counts as well, with a p-value of 1. In the book, a verdict is what
    it says by itself if its corrected p-value is at most 0.05, otherwise inconclusive.
    """
    verdicts = [v for one in book for v in one.verdicts]
    corrected = dict(zip(map(id, verdicts), corrected_together(verdicts), strict=True))
    return [replace(one, verdicts=[corrected[id(v)] for v in one.verdicts]) for one in book]


def corrected_together(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdicts; each primary one has its p-value of the book, `p_book`."""
    places = [place for place, one in enumerate(verdicts) if one.claim.primary]
    adjusted = benjamini_hochberg([1.0 if math.isnan(verdicts[i].p) else verdicts[i].p for i in places])
    p_book = dict(zip(places, adjusted, strict=True))
    return [
        replace(one, p_book=p_book[place]) if place in p_book else one for place, one in enumerate(verdicts)
    ]


def verdict_row(one: Verdict) -> dict[str, Any]:
    """Return a verdict by the columns of claims.csv: None for unknown numbers, `inf` as a word."""
    numbers = (plain(value) for value in (one.estimate, one.ci_low, one.ci_high))
    claim = one.claim
    cells = (one.id, one.statement, one.verdict, *numbers, one.n, one.reason)
    more = (one.group or None, one.measure.label, claim.expected, one.steps, claim.source, one.estimator)
    corrected = (plain(p) for p in (one.p, one.p_family, one.p_book))
    last = (claim.family, claim.primary or None, *corrected, one.in_book)
    return dict(zip(COLUMNS, (*cells, *more, *last), strict=True))


def plain(value: float) -> float | str | None:
    """Return a number that JSON and CSV can hold: None for NaN, `inf` as a word."""
    if math.isnan(value):
        return None
    return float(f"{value:.10g}") if math.isfinite(value) else ("inf" if value > 0 else "-inf")


def _missing(tables: Tables, by_looks: bool) -> list[str]:
    """Return sentences about runs and curves that are missing; with looks, cells differ in their seeds."""
    found = []
    runs, planned = tables.runs, seeds_of(tables)
    sure = runs[~refining(runs)]  # a search decides which refining runs are trained
    cells = sure.groupby(list(tables.swept), dropna=False).ngroups if tables.swept else 1
    expected = len(sure) if by_looks else cells * len(planned)
    ended = int((sure["outcome"].notna() & sure["seed"].isin(planned)).sum())
    if ended < expected:
        found.append(
            f"{tables.folder / 'runs.csv'}: {expected - ended} of {expected} runs (cells times seeds) "
            "have no result; `normbench run` trains them"
        )
    if crashed := int((sure["outcome"] == "crashed").sum()):
        found.append(
            f"{tables.folder / 'runs.csv'}: {crashed} of {expected} runs crashed and count as runs that do "
            "not train; `normbench run --retry crashed` trains them again"
        )
    if tables.metrics.empty:
        found.append(f"{tables.folder / 'metrics.csv'}: no curves; measures that need them are not judged")
        return found
    last = tables.metrics.groupby("run")["step"].max().reindex(range(len(runs)), fill_value=-1)
    short = int(((runs["status"] == "finished") & (last.to_numpy() < runs["steps"].to_numpy())).sum())
    if short:
        found.append(f"{tables.folder / 'metrics.csv'}: the curves of {short} finished runs are cut short")
    return found
