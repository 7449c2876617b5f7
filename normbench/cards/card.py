"""The numbers of a card: value, interval, n and rank of each normalization, from the records alone.

Each number is a claim's: the value is that of a claim against 1 or 0, the comparison of two normalizations
that of a claim with `of` and `against`. So measures, pairing, intervals and corrections are those of
verdicts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from normbench.analysis.judge import Verdict, holm, uncorrected
from normbench.analysis.tables import Tables, load_tables
from normbench.cards.remarks import rates_of
from normbench.cards.sections import Better, By, Reading, Section
from normbench.cards.training import Prepared
from normbench.measures.claim import Claim
from normbench.names import VARIANT
from normbench.stats.corrections import holds

NAN = math.nan


@dataclass(frozen=True)
class Number:
    """An estimate with its 95 % interval and the number of seeds; NaN: unknown."""

    estimate: float = NAN
    low: float = NAN
    high: float = NAN
    n: int = 0

    @property
    def known(self) -> bool:
        """Return whether there is an estimate."""
        return not math.isnan(self.estimate)

    @classmethod
    def of(cls, verdict: Verdict) -> Number:
        """Return the number of a verdict."""
        return cls(verdict.estimate, verdict.ci_low, verdict.ci_high, verdict.n)


@dataclass(frozen=True)
class Entry:
    """What one normalization has in a row.

    Attributes:
        norm: its name.
        value: with its interval.
        best, worst: the ranks that it may have. They differ where paired differences do not tell. None: the
            row is not ranked, or the normalization has no number.
        change: from the section's standard setting.
        why: why it has no number.
        spread: of a ratio, the largest number of a seed over the smallest.
    """

    norm: str
    value: Number = field(default_factory=Number)
    best: int | None = None
    worst: int | None = None
    change: Number | None = None
    why: str = ""
    spread: float = NAN


@dataclass(frozen=True)
class Comparison:
    """The card's normalization and another one in one row.

    Attributes:
        row: the row.
        norm: the card's normalization.
        other: the name of the other normalization.
        word: what the 95 % interval of the paired difference says about the card's normalization.
        difference: of the two, as ratio or difference.
        p_family: corrected by Holm for all comparisons of the card.
    """

    row: Row
    norm: str
    other: str
    word: Literal["better", "worse", "open"]
    difference: Number
    p_family: float = NAN

    @property
    def own(self) -> Entry:
        """Return what the card's normalization has."""
        return self.row.of(self.norm)

    @property
    def holds(self) -> bool:
        """Return whether it still holds when all comparisons of the card are to hold together."""
        return self.word != "open" and holds(self.p_family)


@dataclass(frozen=True)
class Row:
    """One number, for all normalizations."""

    section: str
    setting: str
    name: str
    title: str
    better: Better | None
    by: By
    unit: str
    standard: str
    entries: tuple[Entry, ...]

    @property
    def where(self) -> str:
        """Return what the row is about in one line: `depth 3: largest stable rate`."""
        return f"{self.setting}: {self.title}" if self.setting else self.title

    def of(self, norm: str) -> Entry:
        """Return the entry of a normalization."""
        return next(entry for entry in self.entries if entry.norm == norm)


@dataclass(frozen=True)
class Card:
    """The card of one normalization.

    Attributes:
        prepared: what was trained.
        rows: in the order of the page.
        comparisons: of the card's normalization with each other one, row by row; ranked rows alone.
        steps: of a run, by section.
        rates: of its runs, by section; empty if the section has one rate.
    """

    prepared: Prepared
    rows: tuple[Row, ...]
    comparisons: tuple[Comparison, ...]
    steps: Mapping[str, str]
    rates: Mapping[str, tuple[float, ...]]

    @property
    def norm(self) -> str:
        """Return the normalization that the card is about."""
        return self.prepared.norms[0]

    def where(self, word: Literal["better", "worse"]) -> list[tuple[Row, list[Comparison]]]:
        """Return the rows in which it is better, or worse, than others, each with these comparisons."""
        found: dict[int, tuple[Row, list[Comparison]]] = {}
        for one in self.comparisons:
            if one.word == word:
                found.setdefault(id(one.row), (one.row, []))[1].append(one)
        return list(found.values())

    @property
    def lacking(self) -> list[tuple[Row, str]]:
        """Return the ranked rows in which it has no number and another one has; each with the reason."""
        return [
            (row, row.of(self.norm).why)
            for row in self.rows
            if row.better and not row.of(self.norm).value.known and any(e.value.known for e in row.entries)
        ]


@dataclass(frozen=True)
class _Place:
    """Where a claim's number belongs: the kind, the row, and one or two normalizations."""

    kind: Literal["value", "change", "pair"]
    row: tuple[Any, str]  # value of the section's key, name of the reading
    norms: tuple[str, ...]


def make_card(prepared: Prepared) -> Card:
    """Return the card of what has been trained so far.

    Raises:
        NormbenchError: the records cannot be read.
    """
    rows: list[Row] = []
    pairs: list[tuple[Row, str, Verdict]] = []
    steps, rates = {}, {}
    for name, section in prepared.sections.items():
        if name not in prepared.chosen.sizes or not (prepared.folder / name / "runs.csv").is_file():
            continue
        tables = load_tables(prepared.folder / name)
        steps[name], rates[name] = tables.steps, rates_of(tables)
        for row, found in _section(prepared, section, tables):
            rows.append(row)
            pairs += [(row, other, verdict) for other, verdict in found.items()]
    corrected = holm([verdict for _, _, verdict in pairs])
    comparisons = tuple(
        Comparison(row, prepared.norms[0], other, _word(verdict, row), Number.of(verdict), after.p_family)
        for (row, other, verdict), after in zip(pairs, corrected, strict=True)
    )
    return Card(prepared, tuple(rows), comparisons, steps, rates)


def _section(prepared: Prepared, section: Section, tables: Tables) -> list[tuple[Row, dict[str, Verdict]]]:
    """Return the rows of a section, each with the verdicts of its comparisons with the others by name."""
    norms, cases = prepared.norms, _cases(prepared, section)
    wanted = [one for value, reading in cases for one in _wanted(prepared, section, reading, value)]
    claims = [_claim(i, claim) for i, (_, claim) in enumerate(wanted)]
    found = uncorrected(tables, claims)
    verdicts = {place: verdict for (place, _), verdict in zip(wanted, found, strict=True)}
    rows = []
    for value, reading in cases:
        key = (value, reading.name)
        others = {
            norm: _with_limit(verdicts[place], reading)
            for norm in norms[1:]
            if (place := _Place("pair", key, (norms[0], norm))) in verdicts
        }
        rows.append((_row(prepared, section, reading, value, verdicts), others))
    return rows


def _with_limit(verdict: Verdict, reading: Reading) -> Verdict:
    """Return a comparison's verdict. If it counts, and all seeds differ alike, p is 0, Student-t's limit.

    The sign test, which judges equal differences of sampled numbers, has no place where seeds play no part.
    """
    alike = verdict.verdict != "inconclusive" and math.isclose(verdict.ci_low, verdict.ci_high, rel_tol=1e-9)
    bound = 1.0 if reading.by == "ratio" else 0.0
    if reading.counted and alike and not math.isclose(verdict.estimate, bound, rel_tol=1e-9, abs_tol=1e-12):
        return replace(verdict, p=0.0)
    return verdict


def _cases(prepared: Prepared, section: Section) -> list[tuple[Any, Reading]]:
    """Return the values of the section's key with the readings, in the order of the rows."""
    values = prepared.chosen.sizes[section.name].values or (None,)
    return list(itertools.product(values, section.readings))


def _wanted(
    prepared: Prepared, section: Section, reading: Reading, value: Any
) -> Iterator[tuple[_Place, dict[str, Any]]]:
    """Yield what a row needs: places, and the claims whose numbers belong there.

    Args:
        prepared: what was trained.
        section: that the row belongs to.
        reading: the number of the row.
        value: of the section's key.
    """
    refused, standard = prepared.refused[section.name], section.standard(prepared.setup)
    measure, row = reading.measured(prepared.setup), (value, reading.name)
    constant = {"value": 1.0 if reading.by == "ratio" else 0.0}
    expect = {"ratio": {"ratio_at_least": 1.0}, "difference": {"difference_at_least": 0.0}}
    there = [norm for norm in prepared.norms if (norm, value) not in refused]
    of = {norm: _filter(section, norm, value) for norm in there}
    for norm in there:
        claim = {"measure": measure, "of": of[norm], "against": constant, "expect": expect[reading.by]}
        yield _Place("value", row, (norm,)), claim
        if reading.changes and value != standard and (norm, standard) not in refused:
            usual = _filter(section, norm, standard)
            yield (
                _Place("change", row, (norm,)),
                {**claim, "against": usual, "expect": expect["difference"]},
            )
    for one, other in itertools.combinations(there, 2):
        if reading.better:
            yield (
                _Place("pair", row, (one, other)),
                {"measure": measure, "of": of[one], "against": of[other], "expect": expect[reading.by]},
            )


def _filter(section: Section, norm: str, value: Any) -> dict[str, Any]:
    return {VARIANT: norm, **({section.key: value} if section.key else {})}


def _claim(number: int, content: Mapping[str, Any]) -> Claim:
    return Claim.model_validate({"id": f"n{number}", "statement": "a number of a card", **content})


def _row(
    prepared: Prepared,
    section: Section,
    reading: Reading,
    value: Any,
    verdicts: Mapping[_Place, Verdict],
) -> Row:
    """Return a row with the ranks that follow from the pairs.

    Args:
        prepared: what was trained.
        section: that the row belongs to.
        reading: the number of the row.
        value: of the section's key.
        verdicts: of the section.
    """
    key, norms = (value, reading.name), prepared.norms
    refused = prepared.refused[section.name]
    row = Row(
        section.name,
        section.shown(value),
        reading.name,
        reading.title,
        reading.better,
        reading.by,
        reading.unit,
        section.shown(section.standard(prepared.setup)),
        (),
    )
    numbers = {
        norm: Number.of(verdicts[place])
        for norm in norms
        if (place := _Place("value", key, (norm,))) in verdicts
    }
    ranked = [norm for norm in norms if reading.better and norm in numbers and numbers[norm].known]
    beaten: dict[str, int] = dict.fromkeys(ranked, 0)  # by how many others
    beats: dict[str, int] = dict.fromkeys(ranked, 0)
    for one, other in itertools.combinations(ranked, 2):
        word = _word(verdicts[_Place("pair", key, (one, other))], row)
        if word != "open":
            first, second = (one, other) if word == "better" else (other, one)
            beats[first] += 1
            beaten[second] += 1
    entries = []
    for norm in norms:
        if norm not in numbers:
            entries.append(Entry(norm, why=f"cannot be trained: {refused[norm, value]}"))
            continue
        change = verdicts.get(_Place("change", key, (norm,)))
        why = "" if numbers[norm].known else _reason(verdicts[_Place("value", key, (norm,))])
        entries.append(
            Entry(
                norm,
                numbers[norm],
                1 + beaten[norm] if norm in beaten else None,
                len(ranked) - beats[norm] if norm in beats else None,
                None if change is None else Number.of(change),
                why,
                _spread(verdicts[_Place("value", key, (norm,))]) if reading.by == "ratio" else NAN,
            )
        )
    return Row(**{**vars(row), "entries": tuple(entries)})


def _spread(verdict: Verdict) -> float:
    """Return the largest number of a seed over the smallest, from logarithms; NaN if there is none."""
    if verdict.comparison is None:
        return NAN
    cells = [cell.values() for one in verdict.comparison.readings for cell in one.cells.values()]
    known = [span.estimate for spans in cells for span in spans if span is not None]
    return math.exp(max(known) - min(known)) if known and all(map(math.isfinite, known)) else NAN


def _reason(verdict: Verdict) -> str:
    """Return why a value is unknown: the first part of the verdict's reason, without the group's name."""
    return verdict.reason.split("; ")[0].split(" (of:")[0]


def _word(verdict: Verdict, row: Row) -> Literal["better", "worse", "open"]:
    """Return what a comparison of `of` with `against` says about `of`, if its interval excludes equality."""
    bound = 1.0 if row.by == "ratio" else 0.0
    if verdict.verdict == "inconclusive" or row.better is None:
        return "open"
    if verdict.verdict == "supported":  # an interval that touches the bound contains it
        if not verdict.ci_low > bound or math.isclose(verdict.ci_low, bound, rel_tol=1e-9):
            return "open"
        return "better" if row.better == "higher" else "worse"
    return "worse" if row.better == "higher" else "better"
