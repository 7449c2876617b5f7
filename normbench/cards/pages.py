"""A card as one HTML page, as Markdown, as LaTeX and as JSON: the same numbers in each."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from markupsafe import Markup

from normbench._version import __version__
from normbench.analysis.verify import plain
from normbench.cards import words
from normbench.cards.card import Card, Comparison, Entry, Number, Row
from normbench.cards.remarks import remarks
from normbench.cards.sections import lacking
from normbench.cards.training import Prepared
from normbench.config import Train
from normbench.counts import counted
from normbench.durations import seconds_of
from normbench.markup import latex, markdown
from normbench.records.files import write_file
from normbench.report.page import environment
from normbench.report.scale import Scale
from normbench.report.svg import places, tag

NAME = "scorecard"
WIDTH, HEIGHT, MIDDLE = 150.0, 14.0, 7.0  # of a small picture, in pixels
TOGETHER = "holds together with all others of this card (Holm's correction)"
NOTES = (
    "Brackets: 95 % intervals over seeds, of the measures that claims have (docs/claims.md).",
    "Ranks follow from the paired differences of equal seeds: 1 is best. A rank such as 1-3 is shared: "
    "against some of the others, the 95 % interval of the paired difference contains zero (a ratio: one), or "
    "there are too few seeds for an interval (steps need 6).",
    "Each comparison is at 95 % by itself, so about one in twenty without any difference still shows one; "
    "those with ✓ hold together with all others of this card (Holm's correction).",
    "The best rate is that with the best mean validation accuracy over seeds, for each normalization and "
    "setting. Accuracy is then measured on test images.",
)


def paths(prepared: Prepared) -> tuple[Path, ...]:
    """Return the four files of a card."""
    return tuple(prepared.folder / f"{NAME}.{ending}" for ending in ("html", "md", "tex", "json"))


def write_pages(card: Card) -> tuple[Path, ...]:
    """Write the four files into the card's folder; return their paths."""
    texts = (
        as_html(card),
        as_markdown(card),
        as_latex(card),
        json.dumps(as_json(card), indent=2, ensure_ascii=False, allow_nan=False) + "\n",
    )
    for path, text in zip(paths(card.prepared), texts, strict=True):
        write_file(path, text.encode("utf-8", "replace"))
    return paths(card.prepared)


def heading(card: Card) -> str:
    """Return the title of a card."""
    return f"Scorecard of {card.norm} on {card.prepared.setup.name}"


def settings(card: Card) -> str:
    """Return what all sections share, in one sentence."""
    setup = card.prepared.setup
    model, data, train = setup.base["model"], setup.base["data"], setup.base["train"]
    sizes = [f"{key} {model[key]}" for key in ("width", "depth") if key in model]
    activation = model.get("activation", "")
    named = activation["name"] if isinstance(activation, dict) else activation
    parts = [
        setup.name if setup.name == data["name"] else f"{setup.name} ({data['name']})",
        model["name"] + (f" of {' and '.join(sizes)}" if sizes else "") + (f" with {named}" if named else ""),
        setup.base["optimizer"]["name"],
        f"batches of {data['batch_size']}",
        f"{train['steps']:,} steps, unless a row says otherwise",
    ]
    below = train.get("trains_below", Train().trains_below)
    trains = "" if below == Train().trains_below else f"; a run trains below {below:g} of the label entropy"
    target = "" if setup.target is None else f"; target: test accuracy {100 * setup.target:g} %"
    return ", ".join(parts) + trains + target


def plan_sentences(prepared: Prepared) -> list[str]:
    """Return what will be trained, and what is left out."""
    chosen = prepared.chosen
    planned = f"about {time_text(chosen.seconds)} of training, if nothing is there yet"
    left_out = "; ".join(rung.adds for rung in chosen.left_out)
    return [
        f"{prepared.folder}: {planned}",
        *[f"left out for want of budget: {left_out}"] * bool(left_out),
        *[f"left out: {text}" for text in lacking(prepared.setup)],
    ]


def budget_text(card: Card) -> str:
    """Return the budget and the estimate of what was trained."""
    chosen = card.prepared.chosen
    budget, planned = time_text(card.prepared.request.budget), time_text(chosen.seconds)
    text = f"Budget {budget}, of which {planned} are planned."
    if chosen.left_out and chosen.next_seconds is not None:
        more = f"--budget {budget_for(chosen.next_seconds)}"
        text += f" With {more}, the next addition is: {chosen.left_out[0].adds}. Nothing is trained twice."
    return text


def time_text(seconds: float) -> str:
    """Return `45 s` or `2 min 30 s`."""
    minutes, rest = divmod(round(seconds), 60)
    parts = [f"{minutes} min"] * bool(minutes) + [f"{rest} s"] * bool(rest or not minutes)
    return " ".join(parts)


def budget_for(seconds: float) -> str:
    """Return the smallest budget in round numbers that lasts these seconds, in the form of `--budget`."""
    whole = math.ceil(seconds)
    text = f"{whole}s" if whole <= 90 else f"{math.ceil(whole / 60)}m"
    assert seconds_of(text) >= seconds
    return text


def notes(card: Card) -> list[str]:
    """Return what a reader must know: of all cards, and of the readings on this one."""
    own = [
        reading.note
        for name in card.prepared.chosen.sizes
        for reading in card.prepared.sections[name].readings
        if reading.note
    ]
    return [*NOTES, *own]


def left_out(card: Card) -> list[str]:
    """Return what did not fit into the budget, and what the set-up cannot have."""
    return [*(rung.adds for rung in card.prepared.chosen.left_out), *lacking(card.prepared.setup)]


def as_json(card: Card) -> dict[str, Any]:
    """Return the card as plain data; None for unknown numbers, "inf" for infinite ones."""
    request, chosen = card.prepared.request, card.prepared.chosen
    return {
        "norm": card.norm,
        "against": list(card.prepared.norms[1:]),
        "data": card.prepared.setup.name,
        "version": __version__,
        "budget_seconds": request.budget,
        "planned_seconds": chosen.seconds,
        "sections": {
            name: {
                "seeds": size.seeds,
                "values": list(size.values),
                "steps": card.steps.get(name),
                "remarks": remarks(card, name) if name in card.steps else [],
            }
            for name, size in chosen.sizes.items()
        },
        "left_out": left_out(card),
        "rows": [_row_json(row) for row in card.rows],
        "comparisons": [_comparison_json(one) for one in card.comparisons],
        "without_number": [{"row": row.where, "why": why} for row, why in card.lacking],
    }


def _number_json(one: Number) -> dict[str, Any]:
    return {
        "estimate": plain(one.estimate),
        "ci_low": plain(one.low),
        "ci_high": plain(one.high),
        "n": one.n,
    }


def _row_json(row: Row) -> dict[str, Any]:
    return {
        **{key: getattr(row, key) for key in ("section", "setting", "name", "title", "unit", "better")},
        "entries": [
            {
                "norm": entry.norm,
                **_number_json(entry.value),
                "rank_best": entry.best,
                "rank_worst": entry.worst,
                "change": None if entry.change is None else _number_json(entry.change),
                "why": entry.why,
            }
            for entry in row.entries
        ],
    }


def _comparison_json(one: Comparison) -> dict[str, Any]:
    return {
        **{key: getattr(one.row, key) for key in ("section", "setting", "name")},
        "other": one.other,
        "word": one.word,
        "scale": one.row.by,
        **_number_json(one.difference),
        "p_family": plain(one.p_family),
        "holds_together": one.holds,
    }


def where(card: Card, word: Any) -> Iterator[tuple[str, list[tuple[str, bool]]]]:
    """Yield the rows in which the normalization is better, or worse, each with its comparisons in words."""
    if word == "worse":
        for row, why in card.lacking:
            yield row.where, [(why if why.startswith("cannot") else f"no number: {why}", False)]
    for row, found in card.where(word):
        yield row.where, [(words.difference(one), one.holds) for one in found]


def lists(card: Card) -> list[tuple[str, list[tuple[str, list[tuple[str, bool]]]]]]:
    """Return the two lists of a card with their heads: where it is worse, and where it is better."""
    return [(f"Where {card.norm} is {word}", list(where(card, word))) for word in ("worse", "better")]


def _cell(entry: Entry, row: Row) -> str:
    """Return value, interval, n and rank as one line."""
    value, counts = words.lines(entry, row)
    return f"{value}, {counts}" if counts else value


def as_markdown(card: Card) -> str:
    """Return the card as Markdown."""
    norms = card.prepared.norms
    lines = [f"# {heading(card)}", "", f"{settings(card)}.", "", budget_text(card), ""]
    for head, found in lists(card):
        lines += [f"## {head}", ""]
        for place, texts in found:
            said = "; ".join(f"{text}{' ✓' * holds}" for text, holds in texts)
            lines.append(f"- **{markdown(place)}**: {markdown(said)}")
        lines += ["Nowhere that these seeds could show.", ""] if not found else [""]
    for name, rows in itertools.groupby(card.rows, lambda row: row.section):
        section = card.prepared.sections[name]
        lines += [f"## {section.title}", "", f"{section.question} ({_length(card, name)})", ""]
        lines += [markdown(" ".join(remarks(card, name))), ""]
        lines += [f"| | {' | '.join(map(markdown, norms))} |", "|---|" + "---|" * len(norms)]
        for row in rows:
            head = f"{row.setting}: {words.title(row)}" if row.setting else words.title(row)
            lines.append(f"| {markdown(head)} | {' | '.join(markdown(_cell(e, row)) for e in row.entries)} |")
        lines.append("")
    lines += ["## Left out", "", *[f"- {text}" for text in left_out(card)], ""]
    lines += ["## Notes", "", *[f"- {markdown(note)}" for note in notes(card)], ""]
    return "\n".join(lines)


def _length(card: Card, section: str) -> str:
    return f"{counted(card.prepared.chosen.sizes[section].seeds, 'seed')}, {card.steps[section]}"


def as_latex(card: Card) -> str:
    """Return the rows as a table for the package booktabs; a rank stands as an exponent."""
    norms = card.prepared.norms
    lines = [
        "% needs \\usepackage{booktabs}",
        f"% {heading(card)}, normbench {__version__}",
        f"\\begin{{tabular}}{{l{'l' * len(norms)}}}",
        "\\toprule",
        " & ".join(["", *map(latex, norms)]) + r" \\",
    ]
    for key, rows in itertools.groupby(card.rows, lambda row: (row.section, row.setting)):
        head = key[1] or card.prepared.sections[key[0]].title
        lines += ["\\midrule", f"\\multicolumn{{{len(norms) + 1}}}{{l}}{{\\emph{{{latex(head)}}}}} \\\\"]
        for row in rows:
            lines.append(" & ".join([latex(words.title(row)), *(_latex_cell(e, row) for e in row.entries)]))
            lines[-1] += r" \\"
    lines += ["\\bottomrule", "\\end{tabular}", f"% {latex(settings(card))}."]
    lines += [f"% {note}" for note in NOTES[:2]]
    lines.append("% The exponent is the rank; n is the number of seeds of each section:")
    lines += [f"% {name}: {size.seeds}" for name, size in card.prepared.chosen.sizes.items()]
    return "\n".join(lines) + "\n"


def _latex_cell(entry: Entry, row: Row) -> str:
    if not entry.value.known:
        return "--"
    value = latex(words.shown(entry.value.estimate, row.unit))
    ends = latex(words.interval(entry.value, row.unit))
    ranked = f"\\textsuperscript{{{words.rank(entry)}}}" if words.rank(entry) else ""
    return f"{value}{ranked} {{\\footnotesize {ends}}}" if ends else f"{value}{ranked}"


def as_html(card: Card) -> str:
    """Return the card as one page that loads nothing."""
    sections = [
        (
            card.prepared.sections[name],
            _length(card, name),
            remarks(card, name),
            [(row, _pictures(row, card.norm)) for row in rows],
        )
        for name, rows in itertools.groupby(card.rows, lambda row: row.section)
    ]
    template = environment(Path(__file__).parent / "templates").get_template("card.html")
    return template.render(
        card=card,
        title=heading(card),
        settings=settings(card),
        budget=budget_text(card),
        lists=lists(card),
        sections=sections,
        notes=notes(card),
        left_out=left_out(card),
        together=TOGETHER,
        words=words,
        version=__version__,
    )


def _pictures(row: Row, own: str) -> list[Markup]:
    """Return a small picture of each entry's value and interval, on the scale of the row."""
    log = row.by == "ratio"
    ends = [v for e in row.entries for v in (e.value.estimate, e.value.low, e.value.high)]
    ends = [v for v in ends if math.isfinite(v) and (v > 0 or not log)]
    if not ends:
        return [Markup("")] * len(row.entries)
    low, high = min(ends), max(ends)
    if low == high:
        low, high = (low / 2, high * 2) if log else (low - 0.5, high + 0.5)
    scale = Scale(low, high, MIDDLE, WIDTH - MIDDLE, "log" if log else "linear")
    return [_picture(entry, row, scale, entry.norm == own) for entry in row.entries]


def _picture(entry: Entry, row: Row, scale: Scale, own: bool) -> Markup:
    one = entry.value
    if not math.isfinite(one.estimate) or (scale.kind == "log" and one.estimate <= 0):
        return Markup("")
    parts = [tag("path", class_="axis", d=f"M0 {MIDDLE}H{places(WIDTH)}")]
    if not (math.isnan(one.low) or math.isnan(one.high)):
        start, end = (scale.clipped(end) for end in (one.low, one.high))
        parts.append(tag("path", class_="range", d=f"M{places(start)} {MIDDLE}H{places(end)}"))
    x = places(scale.clipped(one.estimate))
    parts.append(tag("circle", class_="point", cx=x, cy=MIDDLE, r=4))
    text = f"{row.where}, {entry.norm}: {words.shown(one.estimate, row.unit)} {words.interval(one, row.unit)}"
    box = f"0 0 {places(WIDTH)} {places(HEIGHT)}"
    return tag("svg", *parts, viewBox=box, class_=f"mini{' own' * own}", role="img", aria_label=text)
