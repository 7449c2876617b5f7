"""Writes docs/claims/, docs/norms/, docs/which.md and README's table of claims from the book.

python docs/claim_pages.py            # writes the pages and the table
python docs/claim_pages.py --check    # exit code 1 if one is stale
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import norm_figures
import norm_pages
import which_page
from md_table import escaped, table

from normbench.analysis.comparison import shown
from normbench.analysis.judge import Verdict
from normbench.analysis.sequential import LIKELY
from normbench.analysis.verify import Verified, correct_book, verify
from normbench.config.loader import parse
from normbench.config.problems import Problems, Where
from normbench.report.origin import origin
from normbench.stats.corrections import ALPHA

ROOT = Path(__file__).parents[1]
CONFIGS, RESULTS, PAGES = Path("configs/claims"), Path("results/claims"), Path("docs/claims")
README = Path("README.md")
BEGIN, END = "<!-- claims: begin -->\n", "<!-- claims: end -->\n"
IN_README = ("C1", "C2", "C4", "C8", "C10", "C11", "C18", "C22", "C24", "C25")
MORE_SEEDS = (12, 20, 30, 50, 80, 120, 200)
AT_EDGE = "the best rate is at the grid's edge"
APART = ("name", "title", "seeds", "decide", "sweep", "claims")  # keys of a config that are no part of a net
HEAD = """# The claims of the literature

`make pages` writes these pages from [configs/claims](../../configs/claims) and
[results/claims](../../results/claims). `normbench verify results/claims` gives the same verdicts from the CSV
files alone. [claims.md](../claims.md) has the rules of a verdict, [statistics.md](../statistics.md) says how
often it is wrong.

A claim's verdict is that of its one primary verdict, corrected for all primary verdicts of the book together
(Benjamini and Hochberg at 5 %). A claim marked with † has no primary verdict: its row shows the first verdict
of its config, outside this correction. Estimates have 95 % intervals over n seeds; x marks a ratio.

Configs were committed before their results. A test compares git's dates: the last commit that changed a
config (comments, `title` and `reports` apart) is older than the first commit of any run that its results have
today. After a change of a claim, its results therefore need other seeds.

"""
EMPTY = "No primary verdict is in the book yet.\n"


@dataclass(frozen=True)
class Entry:
    """One experiment: its config as it was written, the prose at the head of that, and its verdicts."""

    name: str
    config: Mapping[str, Any]
    prose: tuple[str, ...]
    judged: Verified

    @property
    def verdicts(self) -> list[Verdict]:
        """Return the verdicts, the primary one first."""
        return sorted(self.judged.verdicts, key=lambda one: not one.claim.primary)

    @property
    def ids(self) -> list[str]:
        """Return the claims of the literature that the verdicts belong to."""
        return list(dict.fromkeys(literature(one.id) for one in self.verdicts))


def main() -> None:
    """Write the pages, or compare them with what would be written."""
    os.chdir(ROOT)  # so that sentences about files name them as a reader of the clone does
    entries = book()
    made = pages(entries)
    told = [norm_pages.Told.by(v, one.name, one.config) for one in entries for v in one.verdicts]
    compared = norm_figures.comparisons(one.judged.folder for one in entries)
    made |= norm_pages.pages(told, _link, {name: one.text() for name, one in compared.items()})
    figures = {norm_pages.PAGES / f"{name}.png": one for name, one in compared.items()}
    undrawn = [path for path, one in figures.items() if not one.is_drawn(path)]
    wrong = add_which(made, entries)
    there = (*PAGES.glob("*.md"), *norm_pages.PAGES.glob("*.*"), which_page.PAGE)
    old = [path for path in there if path.exists() and path not in made and path not in figures]
    if "--check" in sys.argv[1:]:
        changed = [p for p, text in made.items() if not p.exists() or p.read_text(encoding="utf-8") != text]
        changed += undrawn
        if stale := [*changed, *old]:
            wrong.append(f"{', '.join(map(str, stale))}: stale; run: make pages")
    else:
        for folder in (PAGES, norm_pages.PAGES):
            folder.mkdir(exist_ok=True)
        for path in old:
            path.unlink()
        for path, text in made.items():
            path.write_text(text, encoding="utf-8")
        for path in undrawn:
            figures[path].save(path)
    if wrong:
        sys.exit("\n".join(wrong))


def book() -> list[Entry]:
    """Return the experiments, each judged once, the primary verdicts corrected together."""
    folders = sorted(path.parent for path in RESULTS.glob("*/config.yaml"))
    judged = correct_book([verify(folder, write=False) for folder in folders])
    return [entry(one) for one in judged if one.verdicts]


def entry(judged: Verified) -> Entry:
    """Return the experiment with its config as it was written."""
    path = CONFIGS / f"{judged.folder.name}.yaml"
    if not path.is_file():
        sys.exit(f"{judged.folder}: there is no {path} for these results; add it, or remove the results")
    text = path.read_text(encoding="utf-8")
    return Entry(judged.folder.name, _plain(path), tuple(prose(text)), judged)


def add_which(made: dict[Path, str], entries: list[Entry]) -> list[str]:
    """Add docs/which.md to the pages once all claims that its template names have results.

    Args:
        made: the text of each page, which gets one more.
        entries: the experiments.

    Returns:
        What is wrong with the template; if anything is, there is no page.
    """
    source = which_page.TEMPLATE.read_text(encoding="utf-8")
    verdicts = [verdict for one in entries for verdict in one.verdicts]
    planned = [one["id"] for path in CONFIGS.glob("*.yaml") for one in _plain(path).get("claims") or []]
    try:
        if missing := which_page.without_result(source, verdicts, planned):
            text = f"{which_page.PAGE}: not written, because claims that it names have no result yet: "
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            print(f"{text}{', '.join(missing[:3])}{more}", file=sys.stderr)
        else:
            made[which_page.PAGE] = which_page.render(source, verdicts, _link, open_primaries(entries))
    except which_page.WrongPageError as error:
        return [str(error)]
    return []


def open_primaries(entries: list[Entry]) -> str:
    """Return the list of the primary verdicts that are open, with the reason and what would decide them."""
    found = [v for one in entries for v in one.verdicts if v.claim.primary]
    lines = [
        f"- [{one.id}]({_link(one.id)}): {escaped(f'{one.statement} Open: {why}')}.\n"
        for one in sorted(found, key=lambda one: _order(one.id))
        if (why := why_open(one))
    ]
    return "".join(lines) or "None: every primary verdict of the book is decided.\n"


def _link(claim_id: str) -> str:
    return f"{PAGES.name}/{file_name(literature(claim_id))}"


def _plain(path: Path) -> dict[str, Any]:
    problems = Problems()
    config = parse(path.read_text(encoding="utf-8"), Where(str(path)), problems).plain
    problems.raise_if_any()
    return config


def prose(text: str) -> Iterator[str]:
    """Yield the paragraphs of the comment at the head of a config, without the schema and the command."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        words = line.lstrip("#").strip()
        if not words.startswith(("yaml-language-server:", "normbench run")):
            lines.append(words)
    paragraph: list[str] = []
    for words in [*lines, ""]:
        if paragraph and (not words or re.match(r"[A-Z][a-z]+( \([^)]*\))?: ", words)):
            yield " ".join(paragraph)
            paragraph = []
        paragraph += [words] if words else []


def literature(claim_id: str) -> str:
    """Return the claim of the literature that an id belongs to: `C2` for `C2-mnist`."""
    match = re.match(r"C\d+", claim_id)
    return match[0] if match else claim_id


def pages(entries: list[Entry]) -> dict[Path, str]:
    """Return the text of each file that the book gives."""
    claims = sorted({one for entry in entries for one in entry.ids}, key=_order)
    made = {PAGES / file_name(claim): page(claim, entries) for claim in claims}
    index = [row for claim in claims for row in index_rows(claim, entries)]
    heads = ("", "claim", "verdict", "estimate", "n", "set-up")
    made[PAGES / "README.md"] = HEAD + table(heads, index)
    made[README] = with_table(README.read_text(encoding="utf-8"), entries)
    return made


def file_name(claim: str) -> str:
    """Return the name of a claim's page: `C02.md`."""
    return f"C{int(claim[1:]):02}.md" if re.fullmatch(r"C\d+", claim) else f"{claim}.md"


def with_table(readme: str, entries: list[Entry]) -> str:
    """Return README's text with the table between its markers written again."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        sys.exit(f"{README}: the lines {BEGIN.strip()} and {END.strip()} are missing; put them back")
    found = {literature(v.id): v for entry in entries for v in entry.verdicts if v.claim.primary}
    rows = [
        (f"[{one.statement}](docs/claims/{file_name(claim)})", word(one), estimate(one), str(one.n))
        for claim, one in ((claim, found[claim]) for claim in IN_README if claim in found)
    ]
    text = table(("claim", "verdict", "estimate (95 % interval)", "seeds"), rows) if rows else EMPTY
    return f"{before}{begin}{text}{end}{after}"


def index_rows(claim: str, entries: list[Entry]) -> Iterator[tuple[str, ...]]:
    """Yield the row of each primary verdict on a claim; if it has none, that of its first verdict."""
    own = [(one, v) for one in entries for v in one.verdicts if literature(v.id) == claim]
    primary = [(one, v) for one, v in own if v.claim.primary]
    for one, verdict in primary or own[:1]:
        link = f"[{claim}]({file_name(claim)}){'' if primary else ' †'}"
        yield (link, verdict.statement, word(verdict), estimate(verdict), str(verdict.n), f"`{one.name}`")


def page(claim: str, entries: list[Entry]) -> str:
    """Return the page of a claim of the literature: all experiments about it, those with a primary first."""
    mine = [one for one in entries if claim in one.ids]
    mine.sort(key=lambda one: not one.verdicts[0].claim.primary)
    lead = next(one for one in mine[0].verdicts if literature(one.id) == claim)
    answer = f"Verdict: {word(lead)}, {estimate(lead) or 'no estimate'}, {expected(lead)}, n = {lead.n} seeds"
    which = "in the book" if lead.claim.primary else "no primary verdict of the book"
    head = f"# {claim}: {escaped(lead.statement)}\n\n{answer} ({which}). [All claims](README.md)\n\n"
    return head + "\n".join(section(one) for one in mine)


def section(one: Entry) -> str:
    """Return what there is to say about an experiment."""
    title = one.config.get("title") or one.name
    heads = ("verdict on", "verdict", "estimate (95 % interval)", "expected", "p", "n")
    parts = [
        f"## {escaped(title)}\n",
        "".join(f"{escaped(paragraph)}\n\n" for paragraph in one.prose) + table(("", ""), setup(one)),
        table(heads, (_verdict_row(verdict) for verdict in one.verdicts)),
        "".join(f"- {escaped(sentence)}\n" for sentence in reasons(one)),
        f"```sh\nnormbench run {CONFIGS}/{one.name}.yaml --results my_results\n```\n",
    ]
    figure = one.judged.folder / "plots" / "claims.png"
    if figure.is_file():
        parts.append(f"![The verdicts of {one.name} with their intervals](../../{figure.as_posix()})\n")
    return "\n".join(part for part in parts if part)


def setup(one: Entry) -> Iterator[tuple[str, str]]:
    """Yield the rows that say what was compared, and where the claims come from."""
    claims = [verdict.claim for verdict in one.verdicts]
    yield "source", "; ".join(_once(claim.source for claim in claims)) or "not named in the config"
    yield "it reports", "; ".join(_once(claim.reports for claim in claims)) or "not stated in the config"
    for key in one.config:
        if key not in APART:
            yield key, words(one.config[key])
    for key, values in (one.config.get("sweep") or {}).items():
        yield f"varied: `{key}`", words(values)
    more = "; more by `run --decide`" * (one.judged.folder / "looks.csv").is_file()
    yield "seeds", seeds(one.config.get("seeds", 5)) + more
    config, records = f"{CONFIGS}/{one.name}.yaml", one.judged.folder.as_posix()
    yield "config", f"[{config}](../../{config}), its records in [{records}](../../{records})"
    if sessions := origin(one.judged.folder):
        last = "" if len(sessions) == 1 else f"in {len(sessions)} sessions, the last one at "
        yield "trained", f"{last}commit {sessions[0].commit}, {sessions[0].machine}"


def seeds(value: Any) -> str:
    """Return how many seeds a config names, and which."""
    named = list(range(value)) if isinstance(value, int) else list(value)
    in_line = named == list(range(named[0], named[0] + len(named)))
    return f"{len(named)}: " + (f"{named[0]} to {named[-1]}" if in_line else ", ".join(map(str, named)))


def words(value: Any) -> str:
    """Return a part of a config in a line: `mnist, batch_size 60`."""
    if isinstance(value, dict):
        parts = [words(v) if k == "name" else f"{k} {_inner(v)}" for k, v in value.items()]
        return ", ".join(parts)
    if isinstance(value, list):
        return ", ".join(map(_inner, value))
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)


def _inner(value: Any) -> str:
    return f"({words(value)})" if isinstance(value, (dict, list)) else words(value)


def reasons(one: Entry) -> Iterator[str]:
    """Yield why each open verdict is open, and what the folder lacks."""
    for verdict in one.verdicts:
        if why := why_open(verdict):
            yield f"{verdict.statement} Open: {why}"
        elif edge := next((part for part in verdict.reason.split("; ") if AT_EDGE in part), ""):
            yield f"{verdict.statement} Better rates may lie beyond the grid: {edge}"
    yield from one.judged.missing


def why_open(one: Verdict) -> str:
    """Return why a verdict is open, and how many seeds would decide it; nothing if it is decided."""
    if one.verdict == "inconclusive":
        return f"{one.reason}{outlook(one)}"
    if which_page.judged(one) == "inconclusive":
        return (
            f"{one.verdict} in its file, but inconclusive with the correction of the book "
            f"(p = {one.p_family:.2g} and {one.p_book:.2g})"
        )
    return ""


def outlook(one: Verdict) -> str:
    """Return how many seeds would decide an open verdict by itself, unless its reason says so or none do."""
    if one.comparison is None or one.at_level is None or "decides it (chance" in one.reason:
        return ""
    for n in (n for n in MORE_SEEDS if n > one.n):
        chance = one.comparison.chance(n, ALPHA)
        if chance >= LIKELY:
            return f". If further seeds are like these, n = {n} decides it by itself (chance {chance:.2g})"
    return f". If further seeds are like these, n = {MORE_SEEDS[-1]} does not decide it"


def word(one: Verdict) -> str:
    """Return the verdict, of a primary one that of the book; what is decided in bold."""
    said = which_page.judged(one)
    return said if said == "inconclusive" else f"**{said}**"


def expected(one: Verdict) -> str:
    """Return what is expected of which measure."""
    return f"expected {one.claim.expected} of {one.measure.label}"


def estimate(one: Verdict) -> str:
    """Return the estimate with its interval; an empty text if it is not known."""
    if math.isnan(one.estimate) and math.isnan(one.ci_low):
        return ""
    middle, low, high = (shown(value, one.claim) for value in (one.estimate, one.ci_low, one.ci_high))
    return f"{middle}, no interval" if math.isnan(one.ci_low) else f"{middle} ({low} to {high})"


def _verdict_row(one: Verdict) -> tuple[str, ...]:
    mark = "**primary:** " if one.claim.primary else ""
    p = one.p_book if one.claim.primary else one.p_family
    what = f"{one.claim.expected} of {one.measure.label}"
    p_text = "" if math.isnan(p) else f"{p:.2g}"
    return f"{mark}{one.statement}", word(one), estimate(one), what, p_text, str(one.n)


def _once(texts: Iterable[str | None]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text))


def _order(claim: str) -> tuple[int, str]:
    return int(re.sub(r"\D", "", claim) or 0), claim


if __name__ == "__main__":
    main()
