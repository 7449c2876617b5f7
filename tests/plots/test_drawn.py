"""Figures are drawn again exactly if anything that they show has changed."""

import shutil

import pytest

from normbench.plots import drawn, plot_results
from normbench.plots.drawn import NAME, drawn_before, remember_drawn


@pytest.fixture
def folder(small, tmp_path):
    copy = tmp_path / "small"
    shutil.copytree(small, copy, ignore=shutil.ignore_patterns("plots"))
    remember_drawn(copy, plot_results(copy, ["rate"], formats=["png"]))
    return copy


def test_the_same_records_are_drawn_once(folder):
    assert drawn_before(folder) == [folder / "plots" / "rate.png"]


@pytest.mark.parametrize("name", ["runs.csv", "metrics.csv", "config.yaml", "looks.csv"])
def test_other_records_are_drawn_again(folder, name):
    with (folder / name).open("a") as file:
        file.write("\n")
    assert drawn_before(folder) == []


def test_a_figure_that_was_removed_or_drawn_otherwise_is_drawn_again(folder):
    path = folder / "plots" / "rate.png"
    path.write_bytes(path.read_bytes()[:-1] + b"x")  # of equal length
    assert drawn_before(folder) == []
    path.unlink()
    assert drawn_before(folder) == []


def test_other_code_or_settings_draw_again(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(drawn, "own_settings", lambda: {"axes.grid": True})
        assert drawn_before(folder) == []
    monkeypatch.setattr(drawn, "_code", lambda: ["0.0"])
    assert drawn_before(folder) == []


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"figures": [1]}', '{"figures": {"../runs.csv": [1, 2]}}', "\0"]
)
def test_a_broken_note_draws_again(folder, text):
    (folder / "plots" / NAME).write_text(text)
    assert drawn_before(folder) == []
