"""The four files of a card: the same numbers, nothing loaded, names as text."""

import json
import re
from dataclasses import replace

import pytest
from helpers.page import parse

from normbench.cards import words
from normbench.cards.card import Comparison, Entry, Number, Row
from normbench.cards.pages import as_html, as_json, as_latex, as_markdown, budget_for, write_pages
from normbench.cards.text import as_text
from normbench.markup import latex


@pytest.fixture(scope="module")
def card(cards):
    return cards["wrong_axis"]


def known(card):
    return [(row, e) for row in card.rows for e in row.entries if e.value.known]


def test_the_page_has_all_numbers_and_loads_nothing(card):
    text = as_html(card)
    page = parse(text)
    assert not re.search(r'(?:src|href)="(?!#)|url\(|@import', text)
    rows = [row for row in page.all("tr") if row.all("td")]
    assert len(rows) == len(card.rows)
    for row, shown in zip(card.rows, rows, strict=True):
        assert words.title(row) in shown.one("th").text
        for entry, cell in zip(row.entries, shown.all("td"), strict=True):
            assert cell.attributes["data-norm"] == entry.norm
            if entry.value.known:
                assert words.shown(entry.value.estimate, row.unit) in cell.text
                assert words.interval(entry.value, row.unit) in cell.text
                assert f"n = {entry.value.n}" in cell.text
            else:
                assert entry.why in cell.text
    for rung in card.prepared.chosen.left_out:
        assert rung.adds in page.one(id="left-out").text


def test_markdown_and_latex_have_the_same_numbers(card):
    markdown, table = as_markdown(card), as_latex(card)
    for row, entry in known(card):
        value = words.shown(entry.value.estimate, row.unit)
        assert value in markdown
        assert latex(value) in table
        assert words.interval(entry.value, row.unit) in markdown
    assert "**depth 2: final test accuracy at the best rate**: -" in markdown
    assert r"wrong\_axis" in table
    assert "wrong_axis" not in table.split("toprule")[1].split("bottomrule")[0]
    lines = [line for line in table.splitlines() if not line.startswith("%")]
    assert "\n".join(lines).count("{") == "\n".join(lines).count("}")
    assert all(line.count("&") == 3 for line in lines if line.endswith(r"\\") and "multicolumn" not in line)


def test_each_section_says_which_rates_it_took(card):
    page, markdown = as_html(card), as_markdown(card)
    text = as_text(card)
    said = "Its best rate is the best of four rates: 0.01, 0.1, 1 and 10."
    for shown in (page, markdown, text):
        assert said in shown
    assert "Learning rates, speed and accuracy, by depth: Its best rate is the best of " in text
    assert as_json(card)["sections"]["batches"]["remarks"] == [said]


def test_json_is_plain_and_complete(card, tmp_path):
    text = json.dumps(as_json(card), allow_nan=False)
    found = json.loads(text)
    assert [row["name"] for row in found["rows"]] == [row.name for row in card.rows]
    accuracy = next(row for row in found["rows"] if row["name"] == "accuracy")
    assert {entry["norm"]: entry["rank_worst"] for entry in accuracy["entries"]}["wrong_axis"] == 3
    assert found["left_out"]
    assert {one["word"] for one in found["comparisons"]} <= {"better", "worse", "open"}


def test_all_files_are_written(card):
    paths = write_pages(card)
    assert [path.name for path in paths] == [f"scorecard.{end}" for end in ("html", "md", "tex", "json")]
    assert json.loads(paths[3].read_text(encoding="utf-8")) == as_json(card)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.9721, "share", "97.2 %"),
        (-0.0001, "points", "0.0"),
        (0.00065, "s", "650 µs"),
        (0.0159, "s", "15.9 ms"),
        (119_000, "bytes", "119 kB"),
        (1234.4, "steps", "1,234"),
        (4.8697, "", "4.87"),
        (float("inf"), "", "∞"),
        (float("nan"), "", ""),
        (0.0, "s", "0 µs"),
    ],
)
def test_numbers_as_text(value, unit, text):
    assert words.shown(value, unit) == text


def test_comparisons_as_text():
    entries = (Entry("own", Number(3.83, 2.9, 5, 6)), Entry("none", Number(0.0, 0.0, 0.0, 6)))
    row = Row("rates", "depth 3", "x", "x", "higher", "ratio", "", "", entries)

    def text(by, unit, *numbers):
        one = replace(row, by=by, unit=unit)
        return words.difference(Comparison(one, "own", "none", "better", Number(*numbers, 6)))

    assert text("ratio", "", 1.76, 1.5, 2) == "1.76x [1.5x, 2x] that of none, n = 6"
    assert text("ratio", "", 1.0049, 1.0001, 1) == "1.005x [1.0001x, 1x] that of none, n = 6"
    assert text("ratio", "", 0.9996, 0.99, 1 + 1e-13) == "0.9996x [0.99x, 1x] that of none, n = 6"
    assert text("ratio", "", float("inf"), float("inf"), float("inf")) == "3.83 against 0 of none, n = 6"
    assert text("difference", "share", -0.031, -0.05, 0.0) == "-3.1 [-5.0, 0.0] points against none, n = 6"
    assert text("difference", "nats", 0.5, 0.25, 1) == "+0.5 [+0.25, +1] nats against none, n = 6"


def test_a_share_ends_at_all_and_nothing():
    assert words.interval(Number(0.98, 0.94, 1.02, 3), "share") == "[94.0 %, 100.0 %]"
    assert words.interval(Number(0.02, -0.01, 0.05, 3), "points") == "[-1.0, 5.0]"


@pytest.mark.parametrize(("best", "worst", "text"), [(1, 1, "1"), (1, 3, "1-3"), (None, None, "")])
def test_ranks_as_text(best, worst, text):
    assert words.rank(Entry("none", best=best, worst=worst)) == text


@pytest.mark.parametrize(("seconds", "text"), [(25.4, "26s"), (90, "90s"), (90.1, "2m"), (1042.3, "18m")])
def test_a_budget_that_is_enough(seconds, text):
    assert budget_for(seconds) == text
