"""Renders docs/which.md, which says when to use which normalization, from docs/which.md.j2 and the verdicts.

A number of the page is a call in the template: `{{ supported("C2") }}` gives the estimate, its interval, the
number of seeds and the verdict, with a link to the claim's page. The name of the call is the verdict on which
the sentence rests: the page is refused if the verdict is another one now. `v` goes with any verdict, for
tables. One of several verdicts of a claim is named by its group: `v("C2-mnist", "activation relu, depth 3")`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, TemplateError, nodes

from normbench.analysis.judge import Verdict
from normbench.analysis.variants import number

TEMPLATE, PAGE = Path("docs/which.md.j2"), Path("docs/which.md")
WORDS = ("supported", "refuted", "inconclusive")
OF_VERDICTS = (
    "v",
    "bound",
    "target",
    *WORDS,
)  # calls with the id of a claim, and the group if it has several
ALONE = "open_questions"  # the call without an id


@dataclass(frozen=True)
class Call:
    """A call in the template that names a verdict."""

    line: int
    name: str
    id: str
    group: str

    @property
    def where(self) -> str:
        """Return the place of the call, for messages."""
        return f"{TEMPLATE}, line {self.line}"

    @property
    def about(self) -> str:
        """Return the verdict's name, for messages."""
        return f"{self.id} ({self.group})" if self.group else self.id


class WrongPageError(Exception):
    """The template cannot become a page: one sentence for each problem."""


def environment() -> Environment:
    """Return the environment of the template: plain text, and no word in it that nobody defines."""
    return Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined
    )


def calls(source: str) -> list[Call]:
    """Return the calls of a template that name a verdict.

    Raises:
        WrongPageError: the template is no jinja2, or has other calls, or the words of a call are not literal.
    """
    try:
        tree = environment().parse(source)
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        raise WrongPageError(f"{TEMPLATE}, line {line}: {error}; mend the template") from None
    found, wrong = [], []
    for node in tree.find_all(nodes.Call):
        name = node.node.name if isinstance(node.node, nodes.Name) else ""
        texts = [one.value for one in node.args if isinstance(one, nodes.Const)]
        literal = len(texts) == len(node.args) and not (node.kwargs or node.dyn_args or node.dyn_kwargs)
        if name == ALONE and not node.args and literal:
            continue
        if name not in OF_VERDICTS or not literal or len(texts) not in (1, 2):
            allowed = ", ".join((*OF_VERDICTS, ALONE))
            wrong.append(
                f'{TEMPLATE}, line {node.lineno}: found a call that is not of the form name("C2") or '
                f'name("C2", "group"); allowed names: {allowed}'
            )
            continue
        found.append(Call(node.lineno, name, *(str(text) for text in (*texts, "")[:2])))
    if wrong:
        raise WrongPageError("\n".join(wrong))
    return found


def without_result(source: str, verdicts: Iterable[Verdict], planned: Iterable[str]) -> list[str]:
    """Return the claims that the template names and that have no result yet.

    Args:
        source: the template.
        verdicts: of the book.
        planned: the ids of the claims in the configs.

    Raises:
        WrongPageError: the template names a claim that no config has.
    """
    named, planned = calls(source), set(planned)
    unknown = [f"{one.where}: no config has a claim {one.id}" for one in named if one.id not in planned]
    if unknown:
        raise WrongPageError("\n".join(f"{one}; name one of configs/claims" for one in unknown))
    judged = {one.id for one in verdicts}
    return list(dict.fromkeys(one.id for one in named if one.id not in judged))


def render(source: str, verdicts: Iterable[Verdict], link: Callable[[str], str], open_list: str) -> str:
    """Return the page.

    Args:
        source: the template.
        verdicts: of the book, with its correction.
        link: gives the address of a claim's page, from docs/.
        open_list: the list of the primary verdicts that are open.

    Returns:
        The text of docs/which.md.

    Raises:
        WrongPageError: a verdict is not what a sentence says, or there is no such verdict.
    """
    found = {one.key: one for one in verdicts}
    if wrong := list(_problems(calls(source), found)):
        raise WrongPageError("\n".join(wrong))

    def told(claim_id: str, group: str = "") -> str:
        one = found[claim_id, group]
        return numbers(one, f"[{judged(one)}]({link(one.id)})")

    def bound(claim_id: str, group: str = "") -> str:
        return expected_amount(found[claim_id, group])

    def target(claim_id: str, group: str = "") -> str:
        return f"{100 * _target(found[claim_id, group]):g} %"

    functions: dict[str, Any] = dict.fromkeys(("v", *WORDS), told)
    functions |= {"bound": bound, "target": target, ALONE: lambda: open_list}
    return environment().from_string(source).render(functions)


def judged(one: Verdict) -> str:
    """Return the verdict, of a primary one that of the book."""
    return one.in_book or one.verdict


def numbers(one: Verdict, word: str) -> str:
    """Return the estimate, the interval and the seeds: `7.2 times (4 to 12.8, n = 6; supported)`.

    Args:
        one: the verdict.
        word: what stands for the verdict's word.
    """
    unit = _Unit.of(one)
    if math.isnan(one.estimate) and math.isnan(one.ci_low):
        return f"no estimate (n = {one.n}; {word})"
    ends = "no interval"
    if not math.isnan(one.ci_low):
        ends = f"{unit.figure(one.ci_low)} to {unit.figure(one.ci_high)}"
    return f"{unit.amount(one.estimate)} ({ends}, n = {one.n}; {word})"


def expected_amount(one: Verdict) -> str:
    """Return the number that the claim expects: `3 times`, `0.5 points`, `a factor of 1.25`."""
    claim, unit = one.claim, _Unit.of(one)
    if claim.expect.kind == "equal_within" and claim.comparison == "ratio":
        return f"a factor of {number(1 + claim.expect.value)}"
    return replace(unit, before="", signed=False).amount(abs(claim.expect.value))


@dataclass(frozen=True)
class _Unit:
    """How the numbers of a verdict are told: its comparison and its measure decide."""

    factor: float = 1.0
    before: str = ""
    after: str = ""
    signed: bool = False

    @classmethod
    def of(cls, one: Verdict) -> _Unit:
        """Return the unit: times for a ratio, points for a difference of shares of 1."""
        if one.claim.comparison == "ratio":
            return cls(after=" times")
        if one.claim.comparison == "slope":
            return cls(before="a slope of ", signed=True)
        if one.measure.is_share:
            return cls(factor=100, after=" points", signed=True)
        return cls(before="a difference of ", signed=True)

    def figure(self, value: float) -> str:
        """Return a number with three digits, a difference with its sign."""
        value *= self.factor
        text = "∞" if math.isinf(value) else number(float(f"{abs(value):.3g}"))
        sign = "-" if value < 0 else "+" if self.signed and value > 0 else ""
        return f"{sign}{text}"

    def amount(self, value: float) -> str:
        """Return a number with its unit."""
        text = self.figure(value)
        one = text.lstrip("+-") == "1"
        return f"{self.before}{text}{self.after.removesuffix('s') if one else self.after}"


def _problems(named: Iterable[Call], found: Mapping[tuple[str, str], Verdict]) -> Iterator[str]:
    """Yield a sentence for each call without such a verdict, and for each whose verdict is another one."""
    for call in named:
        one = found.get((call.id, call.group))
        if one is None:
            groups = [repr(group) for claim_id, group in found if claim_id == call.id]
            have = f"; its verdicts: {', '.join(groups)}" if groups else ""
            yield f"{call.where}: the results have no verdict {call.about}{have}"
        elif call.name in WORDS and judged(one) != call.name:
            yield (
                f"{call.where}: the sentence says that {call.about} is {call.name}, but it is {judged(one)} "
                f"now: {numbers(one, judged(one))}; change the sentence"
            )
        elif call.name == "target" and math.isnan(_target(one)):
            yield f"{call.where}: {one.measure.label} of {call.about} has no target; leave the call out"


def _target(one: Verdict) -> float:
    found = getattr(one.measure, "target", None)
    return math.nan if found is None else float(found)
