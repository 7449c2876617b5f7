"""Writes docs/norms/: a page for each normalization, from its class and from the verdicts that name it.

`claim_pages.py` calls it, because it has judged the book already.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import which_page
from config_page import option_rows
from md_table import table

from normbench.analysis.judge import Verdict
from normbench.measures.claim import values_of
from normbench.norms import NORMS, Normalization
from normbench.registry import full_name

PAGES = Path("docs/norms")
KEY = "model.norm"
ESTIMATE = "estimate (95 % interval, seeds; verdict)"
GROUPS = {  # heading -> what the tables' columns are
    "It, compared with another one": ("claim", "against", ESTIMATE, "nets"),
    "Another one, compared with it": ("claim", "of", ESTIMATE, "nets"),
    "Nets that all have it": ("claim", "against", ESTIMATE, "nets"),
}
OVERVIEW = "c02_norms_mnist"  # the experiment that compares nearly all of them
HEAD = """# The normalizations

`make pages` writes a page for each from its class and from the verdicts of
[the book of claims](../claims/README.md). [which.md](../which.md) compares them by situation,
[your_own_layer.md](../your_own_layer.md) adds one.
The tests in `tests/norms/` compute the equations again and compare.

The figure of a page shows final accuracy and loss by learning rate, beside `none` and `batchnorm`, in the
experiment of the book that varies the fewest other settings; among equals, in the one with the most rates and
seeds.

"""
BY_VERDICTS = """
Estimates have 95 % intervals over n seeds. *Supported* and *refuted* are about the claim as it is written.
"""
NO_VERDICT = "\nThe book has no verdict that names it yet.\n"


@dataclass(frozen=True)
class Told:
    """A verdict, with the normalizations on its two sides and the experiment that it comes from."""

    verdict: Verdict
    experiment: str
    title: str
    of: frozenset[str]
    against: frozenset[str]

    @classmethod
    def by(cls, verdict: Verdict, experiment: str, config: Mapping[str, Any]) -> Told:
        """Return what a verdict of an experiment is about, by the experiment's config."""
        of, against = sides(verdict, config)
        return cls(verdict, experiment, str(config.get("title") or experiment), of, against)


def sides(verdict: Verdict, config: Mapping[str, Any]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of the normalizations on the two sides of a verdict; empty where it names none.

    `for_each` chooses among those that a side names. A side that names none has the one of `for_each` or
    of the config, unless the config varies it.
    """
    claim = verdict.claim
    model = config.get("model")
    fixed = model.get("norm") if isinstance(model, Mapping) and not varies(config.get("sweep")) else None
    one = names(verdict.at.get(KEY))
    of = names(claim.of.get(KEY, fixed))
    of = of & one or of or one
    if claim.against is None or claim.constant is not None:  # a trend, or a comparison with a number
        return of, of
    against = names(claim.against.get(KEY, fixed))
    return of, against & one or against or one


def varies(sweep: Any) -> bool:
    """Return whether a sweep, or a block of it, names the normalization."""
    if isinstance(sweep, list):
        return any(map(varies, sweep))
    if not isinstance(sweep, Mapping):
        return False
    return any(key in (KEY, f"{KEY}.name") or varies(value) for key, value in sweep.items())


def names(wanted: Any) -> frozenset[str]:
    """Return the full names in a filter's value: a name, a section or a list of these."""
    found = (one.get("name") if isinstance(one, Mapping) else one for one in values_of(wanted))
    full = (full_name(NORMS.entries, one) for one in found)
    return frozenset(one for one in full if one in NORMS)


def pages(
    told: Iterable[Told], link: Callable[[str], str], figures: Mapping[str, str] | None = None
) -> dict[Path, str]:
    """Return the text of each page.

    Args:
        told: the verdicts of the book.
        link: gives the address of a claim's page, from docs/.
        figures: the figure of each normalization that has one, with its caption.
    """
    told, figures = list(told), figures or {}
    made = {
        PAGES / f"{name}.md": page(cls, told, link, figures.get(name, ""))
        for name, cls in NORMS.entries.items()
    }
    rows = [
        (f"[{name}]({name}.md)", f"`{cls.summary().partition(': ')[2] or cls.summary()}`", cls.paper)
        for name, cls in NORMS.entries.items()
    ]
    made[PAGES / "README.md"] = HEAD + table(("name", "what it computes", "paper"), rows) + overview()
    return made


def overview() -> str:
    """Return the figure that compares them, if the book has it."""
    figure = Path("results/claims", OVERVIEW, "plots", "claims.png")
    return (
        f"\n![The verdicts of {OVERVIEW} with their intervals](../../{figure})\n" if figure.is_file() else ""
    )


def page(cls: type[Normalization], told: Iterable[Told], link: Callable[[str], str], figure: str = "") -> str:
    """Return the page of a normalization.

    Args:
        cls: the normalization.
        told: the verdicts of the book.
        link: gives the address of a claim's page, from docs/.
        figure: its figure with the caption, or nothing.
    """
    title, _, equation = cls.summary().partition(": ")
    parts = [f"# {title}\n", f"```text\n{equation}\n```\n"]
    body = inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[2]
    parts += [f"{body}\n"] if body else []
    parts.append("".join(f"- {fact}\n" for fact in facts(cls)))
    parts.append("## In a config\n")
    parts.append(f"```yaml\nmodel: {{norm: {cls.key()}}}\n```\n")
    if rows := [row[:4] for row in option_rows(cls) if row[0] != "`name`"]:
        parts.append(table(("option of `model.norm`", "takes", "default", "meaning"), rows))
    if figure:
        parts.append(f"## At each learning rate\n\n{figure}")
    parts.append(f"## When it wins, and when not\n{verdicts(cls.key(), told, link)}")
    return "\n".join(parts)


def facts(cls: type[Normalization]) -> Iterator[str]:
    """Yield what is to be known beside the equation, each as a sentence."""
    if cls.paper:
        yield f"Paper: {linked(cls.paper)}."
    if cls.short_names:
        yield f"Short names in a config: {', '.join(f'`{name}`' for name in cls.short_names)}."
    if cls.activation:
        yield f"It sets the activation `{cls.activation}` in place of `model.activation`."
    if cls.recurrent_gain != 1:
        yield f"In a recurrent net gamma starts at {cls.recurrent_gain:g}."
    if cls.subtracts_mean:
        yield "A bias directly before it is left out, and a batch with one value for each feature is refused."
    if cls.needs_images:
        yield "It needs features that are images; other architectures are refused."
    if cls.needs_branches:
        yield "It needs residual branches; other architectures are refused."
    if cls.no_second_derivative:
        yield f"A probe that needs a second derivative is refused: {cls.no_second_derivative}."


def linked(paper: str) -> str:
    """Return a paper with its arXiv number as a link."""
    words = paper.split()
    for at, word in enumerate(words):
        if word.startswith("arXiv:"):
            number = word.removeprefix("arXiv:").rstrip(",")
            words[at] = f"[arXiv:{number}](https://arxiv.org/abs/{number}){',' if word.endswith(',') else ''}"
    return " ".join(words)


def verdicts(name: str, told: Iterable[Told], link: Callable[[str], str]) -> str:
    """Return the tables of the verdicts that name a normalization."""
    groups: dict[str, list[tuple[str, ...]]] = {head: [] for head in GROUPS}
    subject, object_, within = groups.values()
    for one in told:
        here, there = name in one.of, name in one.against
        if here and one.of != one.against:
            subject.append(row(one, others(one.against - {name}), link))
        elif here:
            within.append(row(one, against_what(one.verdict), link))
        elif there:
            object_.append(row(one, others(one.of), link))
    parts = [f"### {head}\n\n{table(GROUPS[head], rows)}" for head, rows in groups.items() if rows]
    return "\n".join([BY_VERDICTS, *parts]) if parts else NO_VERDICT


def others(names: Iterable[str]) -> str:
    """Return the names of other normalizations, each as a link to its page."""
    return ", ".join(f"[{name}]({name}.md)" for name in sorted(names))


def against_what(verdict: Verdict) -> str:
    """Return what nets that all have the normalization are compared by."""
    claim = verdict.claim
    if claim.over:
        return f"trend over `{claim.over}`"
    if claim.constant is not None:
        return f"the number {claim.constant:g}"
    rest = {key: value for key, value in (claim.against or {}).items() if key != KEY}
    return ", ".join(f"`{key}: {value}`" for key, value in rest.items()) or "other settings"


def row(one: Told, other: str, link: Callable[[str], str]) -> tuple[str, ...]:
    """Return the row of a verdict."""
    verdict = one.verdict
    number = which_page.numbers(verdict, f"[{which_page.judged(verdict)}](../{link(verdict.id)})")
    return verdict.statement, other, number, f"{one.title} (`{one.experiment}`)"
