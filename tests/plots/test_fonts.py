"""Titles and names in other scripts: drawn, or replaced by squares with a note."""

from __future__ import annotations

import warnings

import pytest
from helpers import results
from helpers.figures import assert_readable, pages, texts

from normbench.analysis.tables import load_tables
from normbench.plots import fonts, plot_results
from normbench.plots.style import clean

TITLES = {
    "Cyrillic": "Скорость обучения",
    "Greek": "Ρυθμός μάθησης",
    "Arabic": "معدل التعلم",
    "Chinese": "学习率",
    "Japanese": "学習率と正規化",
    "emoji": "rate 😀 💹",
    "unassigned": "x \U000e0fff y",
    "surrogate": "x \ud800 y",
}


@pytest.fixture
def folder(tmp_path):
    runs = [
        results.run({"model.norm": norm, "optimizer.lr": rate}, seed, curve={0: 0.1, 1000: 0.9})
        for norm in ("none", "batchnorm")
        for rate in (0.1, 1.0)
        for seed in range(3)
    ]
    results.write(tmp_path, runs)
    return tmp_path


def with_title(folder, title):
    path = folder / "config.yaml"
    path.write_text(path.read_text(encoding="utf-8") + f'title: "{title}"\n', encoding="utf-8")
    return folder


@pytest.mark.parametrize("title", [t for t in TITLES.values() if "\ud800" not in t])
def test_a_title_in_another_script_is_drawn_or_noted_without_a_warning(folder, tmp_path, title):
    with_title(folder, title)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = plot_results(folder, ["rate"], formats=["png", "svg", "pdf"], out=tmp_path / "out")
        (figure,) = pages(load_tables(folder), "rate").values()
    assert len(made) == 3
    assert_readable(figure)
    said = texts(figure)
    assert " ".join(clean(title).split()) in " ".join(said.split())
    assert (fonts.NOTE in " ".join(said.split())) == (fonts.MISSING in clean(title))


@pytest.mark.parametrize("script", ["Cyrillic", "Greek", "Arabic"])
def test_the_house_font_has_these_scripts(script):
    assert fonts.drawable(TITLES[script]) == TITLES[script]
    assert fonts.families(TITLES[script]) == [fonts.FAMILY]


@pytest.fixture
def few_fonts(monkeypatch):
    own = frozenset(range(32, 256))
    monkeypatch.setattr(fonts, "_installed", lambda: [(fonts.FAMILY, own), ("Han", frozenset({ord("学")}))])
    fonts._family_of.cache_clear()
    yield
    fonts._family_of.cache_clear()


@pytest.mark.usefixtures("few_fonts")
def test_what_no_font_has_becomes_a_square():
    assert clean(TITLES["surrogate"]) == "x   y"
    assert fonts.drawable("a习b") == f"a{fonts.MISSING}b"
    assert fonts.note(["a", "a习b"]) == fonts.NOTE
    assert fonts.note(["a", "é", fonts.MISSING]) == ""


@pytest.mark.usefixtures("few_fonts")
def test_another_font_is_taken_where_it_has_the_character():
    assert fonts.families("a学习") == [fonts.FAMILY, "Han"]
    assert fonts.drawable("a学习") == f"a学{fonts.MISSING}"


def test_placeholders_for_all_characters_are_no_font():
    assert all(0x0378 not in characters for _, characters in fonts._installed())
