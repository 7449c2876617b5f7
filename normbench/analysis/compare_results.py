"""Compares two results of the same experiments: cells are matched by settings, seeds are paired.

It reads runs.csv and config.yaml. Differences within `MARGINS` are ignored: machines round differently, and a
long training at a large rate amplifies such differences.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from normbench.analysis.judge import Verdict, judge_all
from normbench.analysis.pairing import Cell, Group, Records, matching, read
from normbench.analysis.tables import Tables, in_order, load_tables, setting
from normbench.analysis.variants import label, number
from normbench.errors import NormbenchError
from normbench.markup import html_table
from normbench.measures import MEASURES, Measure
from normbench.names import RATE
from normbench.paths import expanded
from normbench.records import experiments_in
from normbench.records.orphans import NEUTRAL, flatten
from normbench.records.sources import sources_apart
from normbench.stats.corrections import holds, holm
from normbench.stats.decide import FEWEST_SEEDS
from normbench.stats.intervals import Interval, Span, p_beyond, span_interval, unlog, weighted

# Measure, its options, and the difference that is ignored: of accuracies, or of natural logarithms.
MARGINS: tuple[tuple[str, dict[str, Any], float], ...] = (
    ("max_stable_lr", {}, 0.0),
    ("final_accuracy", {"at": "equal_rates"}, 1e-3),
    ("final_loss", {"at": "equal_rates"}, 1e-2),
)
NOT_SETTINGS = (*NEUTRAL, "seeds", "sweep")


@dataclass(frozen=True)
class Difference:
    """One measure of one cell in both results: B - A, or B / A if `ratio`; `moved`: beyond noise."""

    experiment: str
    measure: str
    cell: str
    ratio: bool
    interval: Interval
    p: float
    moved: bool


@dataclass(frozen=True)
class Change:
    """A claim, for one value of its `for_each`, whose verdicts in A and B differ."""

    experiment: str
    id: str
    group: str
    before: str
    after: str

    @property
    def flipped(self) -> bool:
        """Return whether it changed between supported and refuted."""
        return {self.before, self.after} == {"supported", "refuted"}


@dataclass(frozen=True, repr=False)
class Compared:
    """The differences of two results, and what could not be compared."""

    differences: list[Difference]
    changes: list[Change]
    claims: int  # number of claims that both have
    apart: list[str]  # sentences about what could not be compared
    sources: list[str]  # sentences about names that stand for the code of two different plug-ins

    @property
    def moved(self) -> bool:
        """Return whether anything moved beyond noise."""
        return any(one.moved for one in self.differences) or any(one.flipped for one in self.changes)

    def __repr__(self) -> str:
        moved = sum(one.moved for one in self.differences)
        return f"Compared({moved} of {len(self.differences)} comparisons moved beyond noise)"

    def _repr_html_(self) -> str:
        """Return the comparisons for a notebook, those that moved first."""
        heads = ("experiment", "measure", "cell", "B / A or B - A", "low", "high", "n", "moved")
        rows = [
            [one.experiment, one.measure, one.cell, *_ends(one), one.interval.n, "yes" * one.moved]
            for one in sorted(self.differences, key=lambda one: not one.moved)
        ]
        changed = [
            f"{one.experiment}: {one.id} {one.group} was {one.before}, is {one.after}" for one in self.changes
        ]
        return html_table(repr(self), heads, rows, [*changed, *self.apart, *self.sources])


def _ends(one: Difference) -> tuple[float, float, float]:
    return one.interval.estimate, one.interval.low, one.interval.high


def compare(one: Path | str, other: Path | str, ignore: Collection[str] = ()) -> Compared:
    """Compare two experiments, or the experiments of equal names in two folders, cell by cell.

    Args:
        one: experiment folders, or folders of them.
        other: likewise.
        ignore: settings in which the two may differ.

    Raises:
        NormbenchError: nothing in them can be compared.
    """
    pairs, apart = _pairs(expanded(one, "A"), expanded(other, "B"))
    found: list[Difference] = []
    changes: list[Change] = []
    sources: list[str] = []
    claims = 0
    for name, folders in pairs.items():
        tables = [load_tables(folder) for folder in folders]
        used = _words(tables[0]) & _words(tables[1])
        sources += [f"{name}: {sentence}" for sentence in sources_apart(*folders, used)]
        different = different_settings(tables[0], tables[1], ignore)
        if different:
            apart.append(f"{name}: not compared, its settings differ ({'; '.join(different)})")
            continue
        joined, missing = _joined(tables, ignore)
        apart += [f"{name}: {sentence}" for sentence in missing]
        found += _differences(name, joined)
        both = _verdicts(tables)
        claims += len(both)
        changes += [Change(name, *key, *words) for key, words in both.items() if words[0] != words[1]]
    if not found:
        reasons = "\n  ".join(["nothing can be compared:", *sources, *apart])
        raise NormbenchError(
            f"{one} and {other}: {reasons}\nName two results of the same experiments; `--ignore KEY` "
            "compares what differs in this setting all the same"
        )
    tested = [i for i, difference in enumerate(found) if difference.interval.n >= FEWEST_SEEDS]
    for i, p in zip(tested, holm([found[i].p for i in tested]), strict=True):
        found[i] = replace(found[i], moved=holds(p))
    return Compared(found, changes, claims, apart, sources)


def _pairs(one: Path, other: Path) -> tuple[dict[str, tuple[Path, Path]], list[str]]:
    """Return the experiments that both folders have, by name, and sentences about the others."""
    left, right = experiments_in(one), experiments_in(other)
    if left == [one] and right == [other]:
        return {one.resolve().name: (one, other)}, []  # the names of two versions may differ
    names = [{folder.name: folder for folder in folders} for folders in (left, right)]
    shared = {name: (folder, names[1][name]) for name, folder in names[0].items() if name in names[1]}
    apart = [
        f"{name}: only in {place}"
        for place, own in zip((one, other), names, strict=True)
        for name in own
        if name not in shared
    ]
    return shared, apart


def _words(tables: Tables) -> set[str]:
    """Return all words among the settings of the runs: those of the config, and the values of swept keys."""
    flat: dict[str, Any] = {}
    flatten("", tables.config, flat)
    values = [*flat.values(), *(value for key in tables.swept for value in tables.runs[key].unique())]
    return {value for value in values if isinstance(value, str)}


def different_settings(one: Tables, other: Tables, ignore: Collection[str] = ()) -> list[str]:
    """Return one sentence for each setting that is fixed in both and differs.

    A setting that only one of them has does not count: a later version may have new options, with defaults
    that mean the same.
    """
    swept = {*one.swept, *other.swept}
    flat: list[dict[str, Any]] = []
    for tables in (one, other):
        own: dict[str, Any] = {}
        flatten("", tables.config, own)
        flat.append(own)
    sentences = []
    for key, value in flat[0].items():
        if any(key == name or key.startswith(f"{name}.") for name in (*NOT_SETTINGS, *ignore)):
            continue
        if key in swept or key.removesuffix(".name") in swept or key not in flat[1]:
            continue
        if value != flat[1][key]:
            sentences.append(f"{key}: {value} and {flat[1][key]}")
    return sentences


def _joined(tables: Sequence[Tables], ignore: Collection[str]) -> tuple[list[Tables], list[str]]:
    """Return both tables with the same swept keys: a key that one of them fixes becomes a column there."""
    keys = [key for key in dict.fromkeys((*tables[0].swept, *tables[1].swept)) if key not in ignore]
    joined = []
    for own in tables:
        fixed = {key: _as_column(setting(own.config, key)) for key in keys if key not in own.swept}
        joined.append(replace(own, runs=own.runs.assign(**fixed), swept=tuple(keys)))
    missing = []
    for key in keys:
        one, other = (in_order(own.runs.loc[~own.runs["refining"], key]) for own in joined)
        for place, here, there in (("A", one, other), ("B", other, one)):
            if lacking := [number(value) for value in here if value not in there]:
                missing.append(f"{key}: {', '.join(lacking)} only in {place}")
    return joined, missing


def _as_column(value: Any) -> Any:
    """Return a setting as a swept column has it."""
    return str(value).lower() if isinstance(value, bool) else value


def _differences(name: str, joined: Sequence[Tables]) -> list[Difference]:
    """Return the difference of each measure in each cell that both tables have."""
    keys = joined[0].swept
    varied = [key for key in keys if any(own.runs[key].nunique(dropna=False) > 1 for own in joined)]
    records = [Records(own) for own in joined]
    found = []
    for kind, options, margin in MARGINS:
        measure: Measure = MEASURES[kind](name=kind, **options)
        own_keys = [key for key in keys if key != RATE] if measure.over_rates else list(keys)
        if measure.over_rates and (RATE not in keys or RATE not in varied):
            continue
        # Each side is read by itself: read together, a key without a shared value would be ignored.
        readings = []
        for own in records:
            group = Group("", own.runs, ())
            readings += read(measure, [group], own, {})[1] if len(group.ended) else []
        for cell in matching(readings) if len(readings) == 2 else ():
            spans = _paired([one.cells[cell] for one in readings])
            if spans:
                text = _cell_text(own_keys, cell, varied)
                ratio = measure.scale == "log"
                interval = span_interval(spans)
                shown = unlog(interval) if ratio else interval
                p = p_beyond(spans, margin)
                found.append(Difference(name, measure.label, text, ratio, shown, p, False))
    return found


def _paired(sides: Sequence[Mapping[int, Span | None]]) -> list[Span]:
    """Return B - A of each seed with a finite value on both sides."""
    one, other = sides
    pairs = [(one[seed], other[seed]) for seed in sorted(set(one) & set(other))]
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    return [weighted((b, a), (1, -1)) for a, b in known if math.isfinite(a.low) and math.isfinite(b.low)]


def _cell_text(keys: Sequence[str], cell: Cell, varied: Sequence[str]) -> str:
    own = [(key, value) for key, value in zip(keys, cell, strict=True) if key in varied]
    return label(tuple(key for key, _ in own), (value for _, value in own), named=True) if own else "all runs"


def _verdicts(tables: Sequence[Tables]) -> dict[tuple[str, str], tuple[str, str]]:
    """Return both verdicts on each claim, and value of its `for_each`, that both have."""
    sides = [{_key(one): one.verdict for one in judge_all(own)} for own in tables]
    return {key: (word, sides[1][key]) for key, word in sides[0].items() if key in sides[1]}


def _key(verdict: Verdict) -> tuple[str, str]:
    return verdict.id, verdict.group
