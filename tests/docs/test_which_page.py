"""docs/which.md: sentences fail with their verdicts, and numbers come from verdicts alone."""

from __future__ import annotations

import importlib.util
import math
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from jinja2 import nodes

from normbench.analysis.judge import Verdict
from normbench.config import load_config
from normbench.config.members import verdicts_of
from normbench.measures.claim import Claim

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "docs" / "which.md.j2"
CONFIGS = sorted((ROOT / "configs" / "claims").glob("*.yaml"))
CALL = "«»"  # stands for a call in the text of the template
# What a digit typed by hand may be: a name, or a setting of the nets that were compared.
NAMES = re.compile(
    r"`[^`]*`|\]\([^)]*\)|\bC\d+\b|\bCIFAR-10\b|\b(19|20)\d\d\b|\b95 % interval\b|\b1/n\b"
    r"|\b\d+ x \d+\b|\bbatches of (more than )?\d+( against \d+)?\b|\b(depth|width|layer) \d+\b"
    r"|\b\d+ (layers|units|images|matrices|pixels|steps)\b"
)
WORDS = "one|two|three|four|five|six|seven|eight|nine|ten|twenty|thirty|fifty|hundred|half"
TYPED = re.compile(
    rf"\d|%|\b({WORDS}|several) (times|points?|percent)\b|\b(twice|double|halves|thrice)\b", re.I
)


@pytest.fixture(scope="module")
def page():
    """Return the module that renders the page."""
    spec = importlib.util.spec_from_file_location("which_page", ROOT / "docs" / "which_page.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["which_page"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["which_page"]


def claim(id="C2", measure="max_stable_lr", expect=None, **more):
    more.setdefault("against", {"model.norm": "none"})
    plain = {"id": id, "statement": "Yes.", "measure": measure, "of": {"model.norm": "batchnorm"}, **more}
    return Claim.model_validate({**plain, "expect": expect or {"ratio_at_least": 3}})


def verdict(one, word="supported", numbers=(7.2, 4.0, 12.8), at=None):
    estimate, low, high = numbers
    p_book = 0.001 if one.primary else math.nan
    about = {"id": one.id, "statement": one.statement, "claim": one, "measure": one.measure, "at": at or {}}
    told = {"verdict": word, "alone": word, "reason": "why", "steps": "9 steps", "p_book": p_book}
    return Verdict(**about, **told, estimate=estimate, ci_low=low, ci_high=high, n=6)


def link(claim_id):
    return f"claims/{claim_id}.md"


def rendered(page, source, *verdicts):
    return page.render(source, verdicts, link, "- open\n")


def differ(measure, **expect):
    return claim(measure=measure, expect=expect)


@pytest.fixture(scope="module")
def planned():
    """Return the name of a config, a claim of it, and the values of `for_each`, for each verdict to come."""
    found = []
    for path in CONFIGS:
        experiment = load_config(path)
        found += [
            (path.stem, one, at) for one in experiment.claims for at in verdicts_of(one, experiment.cells)
        ]
    return found


@pytest.mark.parametrize("word", ["supported", "refuted", "inconclusive"])
def test_a_sentence_holds_with_its_own_verdict_alone(page, word):
    source = f'A\nB {{{{ {word}("C2") }}}}\n'
    for now in page.WORDS:
        one = verdict(claim(), now)
        if now == word:
            assert (
                rendered(page, source, one) == f"A\nB 7.2 times (4 to 12.8, n = 6; [{word}](claims/C2.md))\n"
            )
        else:
            message = (
                rf"^docs/which\.md\.j2, line 2: the sentence says that C2 is {word}, but it is {now} now: "
                r"7\.2 times \(4 to 12\.8, n = 6; \w+\); change the sentence$"
            )
            with pytest.raises(page.WrongPageError, match=message):
                rendered(page, source, one)
        assert f"[{now}]" in rendered(page, '{{ v("C2") }}', one)


def test_the_verdict_of_a_primary_claim_is_that_of_the_book(page):
    one = replace(verdict(claim(primary=True)), p_book=0.2)
    with pytest.raises(page.WrongPageError, match="is supported, but it is inconclusive now"):
        rendered(page, '{{ supported("C2") }}', one)


def test_all_wrong_sentences_are_named_at_once(page):
    source = '{{ refuted("C2") }}\n{{ supported("C2") }}\n{{ v("C2", "depth 3") }}\n{{ v("C3") }}'
    with pytest.raises(page.WrongPageError) as caught:
        rendered(page, source, verdict(claim()))
    first, second, third = str(caught.value).splitlines()
    assert "line 1: the sentence says that C2 is refuted" in first
    assert second.endswith("line 3: the results have no verdict C2 (depth 3); its verdicts: ''")
    assert third.endswith("line 4: the results have no verdict C3")


def test_a_verdict_of_several_is_named_by_its_group(page):
    one = claim(for_each=["model.activation", "model.depth"])
    many = [
        verdict(one, word, at={"model.activation": "relu", "model.depth": depth})
        for depth, word in ((3, "supported"), (10, "refuted"))
    ]
    assert "refuted" in rendered(page, '{{ refuted("C2", "activation relu, depth 10") }}', *many)
    with pytest.raises(
        page.WrongPageError, match=r"C2; its verdicts: 'activation relu, depth 3', 'activation"
    ):
        rendered(page, '{{ v("C2") }}', *many)


@pytest.mark.parametrize(
    ("one", "numbers", "text", "bound"),
    [
        (claim(), (7.2, 4.0, 12.84), "7.2 times (4 to 12.8,", "3 times"),
        (claim(), (math.inf, 5, math.inf), "∞ times (5 to ∞,", "3 times"),
        (claim(expect={"ratio_at_most": 1}), (1, 0.334, math.nan), "1 time (", "1 time"),
        (claim(expect={"equal_within": 0.25}), (1.1, 1, 1.2), "1.1 times (", "a factor of 1.25"),
        (
            *(differ("final_accuracy", difference_at_least=-0.02), (0.0183, -0.01, 0.12)),
            *("+1.83 points (-1 to +12,", "2 points"),
        ),
        (differ("best_accuracy", equal_within=0.01), (-0.01, -0.02, 0), "-1 point (-2 to 0,", "1 point"),
        (differ("generalisation_gap", difference_at_most=0), (0.5, 0, 1), "+50 points (", "0 points"),
        (
            *(differ({"name": "generalisation_gap", "what": "loss"}, difference_at_most=0.5), (0.5, 0, 1)),
            *("a difference of +0.5 (0 to +1,", "0.5"),
        ),
        (differ("share_that_trains", difference_at_least=0.1), (0.8, 0.7, 0.9), "+80 points (", "10 points"),
        (
            *(
                differ(
                    {
                        "name": "probe",
                        "probe": "activations",
                        "quantity": "activations.saturated",
                        "step": 0,
                    },
                    difference_at_most=-0.1,
                ),
                (-0.2, -0.3, -0.1),
            ),
            *("-20 points (-30 to -10,", "10 points"),
        ),
        (
            *(
                differ(
                    {"name": "probe", "probe": "ics", "quantity": "ics.cosine", "step": 0},
                    difference_at_least=0,
                ),
                (-0.2, -0.3, -0.1),
            ),
            *("a difference of -0.2 (-0.3 to -0.1,", "0"),
        ),
        (
            *(claim(against=None, over="optimizer.lr", expect={"increases": True}), (0.31, 0.2, 0.4)),
            *("a slope of +0.31 (+0.2 to +0.4,", "0"),
        ),
    ],
)
def test_units_follow_from_comparison_and_measure(page, one, numbers, text, bound):
    said = rendered(page, '{{ v("C2") }}|{{ bound("C2") }}', verdict(one, numbers=numbers))
    assert said.startswith(text)
    assert said.endswith(f"|{bound}")


def test_what_is_not_known_is_said(page):
    known = verdict(claim(), numbers=(7.2, math.nan, math.nan))
    assert rendered(page, '{{ v("C2") }}', known).startswith("7.2 times (no interval, n = 6; ")
    unknown = verdict(claim(), "inconclusive", numbers=(math.nan,) * 3)
    assert rendered(page, '{{ v("C2") }}', unknown).startswith("no estimate (n = 6; [inconclusive]")


def test_the_target_is_that_of_the_measure(page):
    one = claim(measure={"name": "steps_to_target", "target": 0.9})
    assert rendered(page, '{{ target("C2") }}', verdict(one)) == "90 %"
    with pytest.raises(page.WrongPageError, match="line 1: largest rate that trains of C2 has no target"):
        rendered(page, '{{ target("C2") }}', verdict(claim()))


@pytest.mark.parametrize(
    "source",
    ['{{ sure("C2") }}', '{{ v("C" ~ 2) }}', "{{ v() }}", '{{ v(id="C2") }}', '{{ "x".format(1) }}'],
)
def test_calls_are_literal_and_known(page, source):
    with pytest.raises(
        page.WrongPageError, match=r"line 3: found a call that is not of the form name\(\"C2\"\)"
    ):
        page.calls(f"\n\n{source}")


def test_a_template_that_jinja_cannot_read_is_named_with_its_line(page):
    with pytest.raises(page.WrongPageError, match=r"^docs/which\.md\.j2, line 3: .*; mend the template$"):
        page.calls('\n{{ v("C2") \n}')


def test_claims_without_a_result_are_listed_once_and_unknown_ones_refused(page):
    source = '{{ v("C2") }}{{ v("C3") }}{{ bound("C3") }}{{ open_questions() }}'
    assert page.without_result(source, [verdict(claim())], ["C2", "C3"]) == ["C3"]
    with pytest.raises(page.WrongPageError, match=r"line 1: no config has a claim C3; name one of configs/"):
        page.without_result(source, [], ["C2"])


@pytest.mark.thorough
def test_the_page_renders_with_the_verdicts_that_its_sentences_tell(page, planned):
    """Every verdict that the template names is one that the book will have."""
    source = TEMPLATE.read_text(encoding="utf-8")
    named = page.calls(source)
    told = {(one.id, one.group): one.name for one in named if one.name in page.WORDS}
    twice = {(one.id, one.group, one.name) for one in named if one.name in page.WORDS}
    assert len(twice) == len(told), "a verdict is told with two words"
    made = [verdict(one, at=at) for _, one, at in planned]
    made = [replace(one, verdict=told.get(one.key, one.verdict)) for one in made]
    made = [replace(one, alone=one.verdict) for one in made]
    text = page.render(source, made, link, "- open\n")
    assert "{" not in text
    assert "- open\n" in text
    for table in re.findall(r"(?:^\|.*\n)+", text, re.M):
        assert len({line.count("|") for line in table.splitlines()}) == 1, table
        assert re.match(r"\|.*\n\|(-{3}\|)+\n\|", table), table


def test_each_primary_claim_of_an_engineer_is_on_the_page(page, planned):
    """All primary claims are told, so that a new one is not forgotten."""
    named = {one.id for one in page.calls(TEMPLATE.read_text(encoding="utf-8"))}
    primary = {one.id for _, one, _ in planned if one.primary}
    assert primary
    assert sorted(primary - named) == []


def typed_by_hand(page, source):
    """Return the numbers in the text of a template that no call gives."""
    tree = page.environment().parse(source)
    parts = [
        part.data if isinstance(part, nodes.TemplateData) else CALL
        for output in tree.find_all(nodes.Output)
        for part in output.nodes
    ]
    text = NAMES.sub("", " ".join("".join(parts).split()))
    return [text[max(0, hit.start() - 30) : hit.end() + 10] for hit in TYPED.finditer(text)]


def test_every_number_of_the_page_comes_from_a_call(page):
    assert typed_by_hand(page, TEMPLATE.read_text(encoding="utf-8")) == []


def alternatives():
    """Return the comments below sentences: the words for the other verdict, without their heads."""
    comments = re.findall(r"^\{# (C.*) #\}$", TEMPLATE.read_text(encoding="utf-8"), re.M)
    return [re.sub(r"(^C[^:]*| If (supported|refuted)): ", " ", one) for one in comments]


def test_the_words_for_the_other_verdict_are_ready(page, planned):
    """Each sentence that rests on a verdict has a comment for the other one, whose calls are right."""
    have = {verdict(one, at=at).key for _, one, at in planned}
    told = {
        ((one.id, one.group), one.name)
        for one in page.calls(TEMPLATE.read_text(encoding="utf-8"))
        if one.name in page.WORDS
    }
    spare = {((one.id, one.group), one.name) for text in alternatives() for one in page.calls(text)}
    assert {key for key, _ in spare} <= have
    assert not told & spare
    for key, word in told:
        others = {"supported", "refuted"} - {word}
        assert {(key, other) for other in others} <= spare, f"no words for {key} if not {word}"
    assert [hit for text in alternatives() for hit in typed_by_hand(page, text)] == []


@pytest.mark.parametrize(
    "sentence",
    ["is 7.2 faster", "7 times", "three times", "half points", "one point", "97 %", "takes twice as many"],
)
def test_a_number_typed_by_hand_is_found(page, sentence):
    assert typed_by_hand(page, f'At depth 10 it {sentence} {{{{ v("C2") }}}}')
    assert not typed_by_hand(page, 'At depth 10, CIFAR-10 at 16 x 16, `1e-5`: {{ v("C2") }} more')


def test_the_page_is_there_once_its_claims_have_results(page, planned):
    named = {one.id for one in page.calls(TEMPLATE.read_text(encoding="utf-8"))}
    with_results = {path.parent.name for path in (ROOT / "results" / "claims").glob("*/config.yaml")}
    judged = {one.id for name, one, _ in planned if name in with_results}
    if missing := sorted(named - judged):
        pytest.skip(
            f"{len(missing)} claims that docs/which.md.j2 names have no result yet: {missing[0]}, ..."
        )
    assert (ROOT / "docs" / "which.md").is_file(), "run: make pages"  # test_docs.py holds it fresh
