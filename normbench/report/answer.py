"""The answer at the top of a page: what each variant reaches, with intervals, as numbers and as pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import Markup

from normbench.analysis.summary import summary_rows
from normbench.analysis.tables import Tables
from normbench.analysis.variants import Levels, label, levels, number, variant_keys
from normbench.counts import counted
from normbench.measures import Rows, Sample
from normbench.measures.decades_of_rates import DecadesOfRates
from normbench.names import RATE
from normbench.plots.figures.convergence import accuracy_measure
from normbench.plots.figures.steps_to_target import StepsToTarget, first_reached
from normbench.plots.slots import CELL, Slots, slot_view
from normbench.plots.style import Style, styles_of
from normbench.plots.view import Request
from normbench.report.canvas import PIXELS
from normbench.report.scale import Scale
from normbench.report.shared import Shared
from normbench.report.svg import places, tag
from normbench.stats.intervals import median_interval, span_interval

EMPTY = Markup("")
WIDTH, HEIGHT, MIDDLE = 170.0, 20.0, 10.0


@dataclass(frozen=True)
class Value:
    """One number of the summary: its text, what is said below it, and its picture."""

    text: str
    more: str = ""
    picture: Markup = EMPTY


@dataclass
class Row:
    """One variant: its name and color, and a value for each column."""

    name: str
    swatch: Markup
    values: list[Value] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    """The summary: heads of the columns, rows in groups of equal other settings, words below."""

    heads: list[tuple[str, str]]
    groups: list[tuple[str, list[Row]]]
    notes: list[str]


@dataclass(frozen=True)
class _Found:
    """What is known of one variant; NaN where nothing is."""

    low: float = math.nan
    high: float = math.nan
    mean: float = math.nan
    bottom: float = math.nan  # of the range of rates that train
    n: int = 0
    text: str = ""
    more: str = ""


def answer(tables: Tables, shared: Shared) -> Answer:
    """Return the summary of an experiment."""
    rows = summary_rows(tables)
    keys = tuple(k for k in tables.varied if k != RATE)
    groups = levels(tables.runs, keys)
    own = [k for k in variant_keys(tables) if k in keys]
    others = [k for k in keys if k not in own]
    variants = levels(tables.runs, own)
    styles = styles_of(variants)
    has_rates = any("largest_rate" in row for row in rows)
    columns: list[tuple[str, str, list[_Found], bool]] = []
    if has_rates:
        columns.append(("stable rates", "smallest to largest rate that trains", _ranges(tables, keys), True))
        columns.append(("largest rate", "that trains", [_largest(row) for row in rows], True))
    measure = next((row["best"]["measure"] for row in rows if "best" in row), "")
    if measure:
        where = f"{measure}, at the best rate" if has_rates else measure
        columns.append(("best accuracy" if "accuracy" in measure else "best loss", where, _best(rows), False))
    if StepsToTarget().applies(tables):
        said, found = _steps(tables, keys)
        columns.append(("steps to target", said, found, False))
    decided = _decided(tables, groups)
    # A variant that decides a key itself, as SELU does the activation, is shown beside those that choose it.
    homes = [
        dict(zip(keys, values, strict=True))
        for code, values in enumerate(groups.values)
        if not set(others) & decided[code]
    ]
    scales = [_scale(found, log) for _, _, found, log in columns]
    made: dict[str, dict[int, Row]] = {_name(others, home): {} for home in homes}
    for code, values in enumerate(groups.values):
        setting = dict(zip(keys, values, strict=True))
        place = variants.values.index(tuple(setting[k] for k in own)) if own else 0
        style = styles[place]
        name = label(tuple(own), [setting[k] for k in own]) if own else rows[code]["variant"]
        row = Row(name, _mark(shared, style))
        for (head, _, found, _), scale in zip(columns, scales, strict=True):
            one = found[code]
            picture = _picture(shared, style, one, scale, f"{head}, {name}: {one.text}. {one.more}")
            row.values.append(Value(one.text, one.more, picture))
        free = [k for k in others if k not in decided[code]]
        for group in _groups(homes, others, setting, free):
            made.setdefault(group, {})[place] = row
    by_variant = [(group, [row for _, row in sorted(own_rows.items())]) for group, own_rows in made.items()]
    return Answer([(head, said) for head, said, _, _ in columns], by_variant, _notes(rows))


def _decided(tables: Tables, groups: Levels) -> list[set[str]]:
    """Return the keys that the runs of each variant decide themselves."""
    words = tables.runs["decided"].fillna("none").to_numpy()
    return [set(str(words[groups.codes == code][0]).split()) for code in range(len(groups))]


def _groups(
    homes: Sequence[dict[str, Any]], others: Sequence[str], setting: dict[str, Any], free: Sequence[str]
) -> list[str]:
    """Return the names of the groups in which a variant is shown: those with its values of the free keys."""
    fitting = [home for home in homes if all(home[k] == setting[k] for k in free)]
    found = fitting if len(free) < len(others) and fitting else [setting]
    return list(dict.fromkeys(_name(others, one) for one in found))


def _name(others: Sequence[str], setting: dict[str, Any]) -> str:
    """Return the name of a group: the other settings of its variants."""
    return label(tuple(others), [setting[k] for k in others], named=True) if others else ""


def _notes(rows: Sequence[dict[str, Any]]) -> list[str]:
    seeds = sorted({row["seeds"] for row in rows})
    n = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    notes = [
        f"n = {n} seed{'' if n == '1' else 's'} for each variant. Brackets and lines: 95 % intervals; bars: "
        "the range of rates that train."
    ]
    if any(row.get("best", {}).get("grid_edge") for row in rows):
        notes.append("!: the best rate is at the grid's edge; better ones may lie beyond.")
    if any(row["crashes"] for row in rows):
        notes.append("A rate whose run crashed counts as one that does not train.")
    if pending := sum(row["pending"] for row in rows):
        notes.append(f"{counted(pending, 'run', 'have')} no outcome yet.")
    return notes


def _ranges(tables: Tables, keys: tuple[str, ...]) -> list[_Found]:
    """Return the range of rates that train: geometric means over seeds, and its width in decades."""
    groups, runs = levels(tables.runs, keys), tables.runs.assign(run=np.arange(len(tables.runs)))
    runs["cell"] = groups.codes
    runs = runs[runs["outcome"].notna()]
    none = Rows(tables.metrics.iloc[:0])
    found = []
    measure = DecadesOfRates()
    by_cell = dict(iter(runs.groupby("cell")))
    for code in range(len(groups)):
        if code not in by_cell:
            found.append(_Found(text="no result"))
            continue
        spans, bottoms, tops = [], [], []
        for _, part in by_cell[code].groupby("seed"):
            sample = Sample(part, part[RATE].to_numpy(float), none, none)
            spans.append(measure.reading(sample))
            if edge := measure.edge(sample):
                grid = np.sort(sample.rates)
                bottoms.append(math.log(grid[len(edge.slow)]))
                tops.append(math.log(edge.top))
        if not bottoms:
            found.append(_Found(text="trains at no rate", n=len(spans)))
            continue
        low, high = math.exp(np.mean(bottoms)), math.exp(np.mean(tops))
        width = span_interval(spans)
        decades = _decades(width.estimate, width.low, width.high)
        left = len(spans) - len(bottoms)
        more = decades + (f"; {left} of {len(spans)} seeds train at no rate" if left else "")
        text = f"{_short(low)} to {_short(high)}" if high > low else f"{_short(low)} alone"
        found.append(_Found(mean=high, bottom=low, n=len(spans), text=text, more=more))
    return found


def _decades(estimate: float, low: float, high: float) -> str:
    if math.isinf(estimate) or math.isinf(high):
        known = low if math.isfinite(low) else math.nan
        if math.isnan(known):
            return "width open: the range reaches an end of the grid"
        return f"at least {_in_decades(max(known, 0.0))}"
    if math.isnan(low):
        return _in_decades(estimate)
    return f"{_in_decades(estimate)} [{abs(max(low, 0.0)):.2g}, {high:.2g}]"


def _in_decades(value: float) -> str:
    text = f"{value:.2g}"
    return f"{text} decade{'' if text == '1' else 's'}"


def _largest(row: dict[str, Any]) -> _Found:
    rate = row.get("largest_rate")
    if rate is None or not rate["n"]:
        left = rate["seeds_that_train_at_no_rate"] if rate else 0
        return _Found(text="trains at no rate" if left else "no result", more=row["crashes"])
    mean, low, high = (_float(rate[end]) for end in ("estimate", "low", "high"))
    left = rate["seeds_that_train_at_no_rate"]
    notes = [_brackets(low, high, _short), f"{left} seeds train at no rate" if left else "", row["crashes"]]
    text = "beyond the grid" if math.isinf(mean) else _short(mean)
    return _Found(low, high, mean, n=rate["n"], text=text, more="; ".join(filter(None, notes)))


def _best(rows: Sequence[dict[str, Any]]) -> list[_Found]:
    found = []
    for row in rows:
        best = row.get("best")
        if best is None or best["estimate"] is None:
            found.append(_Found(text="no result", more=row["crashes"]))
            continue
        mean, low, high = (_float(best[end]) for end in ("estimate", "low", "high"))
        if "accuracy" in best["measure"]:
            low, high = max(low, 0.0), min(high, 1.0)
        at = f"at rate {number(best['rate'])}{' !' * bool(best['grid_edge'])}" if best["rate"] else ""
        more = "; ".join(filter(None, [_brackets(low, high, lambda v: f"{v:.3f}"), at, best["crashes"]]))
        found.append(_Found(low, high, mean, n=best["n"], text=f"{mean:.3f}", more=more))
    return found


def _steps(tables: Tables, keys: tuple[str, ...]) -> tuple[str, list[_Found]]:
    """Return the target in words, and the median steps to it, as the figure `steps_to_target` has them."""
    shown = slot_view(tables, Request())
    view = shown.runs.assign(place=Slots.of(shown).places)
    reached, target = first_reached(tables, view[view["outcome"].notna()], CELL, None)
    runs = reached.drop_duplicates("run").set_index("run")["first"]
    codes = levels(tables.runs, keys).codes
    found = []
    for code in range(int(codes.max(initial=0)) + 1):
        first = runs[runs.index.isin(np.flatnonzero(codes == code))].dropna()
        if not len(first):
            found.append(_Found(text="no result"))
            continue
        one = median_interval(first.to_numpy())
        never = int(np.isinf(first).sum())
        more = [_brackets(one.low, one.high, lambda v: f"{v:,.0f}")]
        more.append(f"{never} of {len(first)} seeds never" if never else "")
        text = "never" if math.isinf(one.estimate) else f"{one.estimate:,.0f}"
        mean = one.estimate if math.isfinite(one.estimate) else math.nan
        more_text = "; ".join(filter(None, more))
        found.append(_Found(one.low, one.high, mean, n=len(first), text=text, more=more_text))
    rate = "each at its best rate" if RATE in tables.varied else "median"
    measure = accuracy_measure(tables) or "test_accuracy"
    return f"{measure.replace('_', ' ')} {number(target)}, {rate}", found


def _float(value: Any) -> float:
    return math.nan if value is None else float(value)


def _short(value: float) -> str:
    return number(float(f"{value:.2g}"))


def _brackets(low: float, high: float, how: Any) -> str:
    if math.isnan(low) or math.isnan(high):
        return ""
    ends = [how(end) if math.isfinite(end) else ("∞" if end > 0 else "-∞") for end in (low, high)]
    return f"[{', '.join(ends)}]"


def _scale(found: Sequence[_Found], log: bool) -> Scale | None:
    """Return the scale that all rows of a column share."""
    values = [v for one in found for v in (one.low, one.high, one.mean, one.bottom)]
    values = [v for v in values if math.isfinite(v) and (v > 0 or not log)]
    if not values:
        return None
    low, high = min(values), max(values)
    if low == high:
        low, high = (low / 2, high * 2) if log else (low - 0.5, high + 0.5)
    return Scale(low, high, 6, WIDTH - 6, "log" if log else "linear")


def _mark(shared: Shared, style: Style) -> Markup:
    shape = shared.mark(style.marker, round(5.5 * PIXELS, 1))
    use = tag("use", href=f"#{shape}", x=8, y=8, class_=f"m {shared.color(style.color)}")
    return tag("svg", use, viewBox="0 0 16 16", class_="dot", aria_hidden="true")


def _picture(shared: Shared, style: Style, one: _Found, scale: Scale | None, words: str) -> Markup:
    """Return a small picture: a thin line as axis, a bar or an interval, a mark."""
    if scale is None or math.isnan(one.mean):
        return Markup("")
    paint = shared.color(style.color)
    parts = [tag("path", class_="axis", d=f"M0 {MIDDLE}H{places(WIDTH)}")]
    if math.isfinite(one.bottom):
        d = f"M{places(scale.clipped(one.bottom))} {MIDDLE}H{places(scale.clipped(one.mean) + 0.1)}"
        parts.append(tag("path", class_=f"l w {paint}", stroke_width=7, d=d))
    elif not (math.isnan(one.low) or math.isnan(one.high)):
        d = f"M{places(scale.clipped(one.low))} {MIDDLE}H{places(scale.clipped(one.high))}"
        parts.append(tag("path", class_=f"l {paint}", d=d))
    if math.isnan(one.bottom):
        shape = shared.mark(style.marker, round(5.5 * PIXELS, 1))
        x = places(scale.clipped(one.mean))
        parts.append(tag("use", class_=f"m {paint}", href=f"#{shape}", x=x, y=places(MIDDLE)))
    box = f"0 0 {places(WIDTH)} {places(HEIGHT)}"
    return tag("svg", *parts, viewBox=box, class_="mini", role="img", aria_label=words)
