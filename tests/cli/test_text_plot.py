"""Curves of characters: their height and range are those of the values."""

import itertools

import pytest

from normbench.cli import text_plot as module
from normbench.cli.text_plot import text_plot


def cells(text):
    return [line.partition("|")[2] for line in text.splitlines() if "|" in line]


def test_a_rising_line_fills_a_triangle():
    text = text_plot("loss", range(0, 81), [float(x) for x in range(81)], wide=85, tall=4)
    lines = cells(text)
    assert text.splitlines()[0] == "loss"
    assert text.splitlines()[1].lstrip().startswith("80 |")
    assert text.splitlines()[4].lstrip().startswith("0 |")
    assert text.splitlines()[5].split() == ["0", "step", "80"]
    assert all(len(one.lstrip(" ")) <= len(other.lstrip(" ")) for one, other in itertools.pairwise(lines))
    assert lines[-1][0] == "▁"
    assert all(line[-1] == "█" for line in lines)


def test_missing_columns_lie_on_the_line_between_their_neighbors():
    sparse = text_plot("x", [0, 100], [0.0, 10.0], wide=60)
    dense = text_plot("x", list(range(101)), [x / 10 for x in range(101)], wide=60)
    levels = [
        [sum(" ▁▂▃▄▅▆▇█".index(line[i]) if i < len(line) else 0 for line in cells(text)) for i in range(50)]
        for text in (sparse, dense)
    ]
    assert all(abs(one - other) <= 2 for one, other in zip(*levels, strict=True))


@pytest.mark.parametrize(
    ("values", "said"),
    [([1.0, float("inf"), 2.0], "not finite at step 1"), ([float("nan")] * 3, "x: no finite value")],
)
def test_what_has_no_height_is_said(values, said):
    assert said in text_plot("x", [0, 1, 2], values, wide=40)


def test_a_flat_curve_and_a_single_value_are_drawn():
    assert cells(text_plot("x", [0, 10], [3.0, 3.0], wide=30))[-1].count("▁") > 8
    assert "3" in text_plot("x", [7], [3.0], wide=30)


def test_a_terminal_without_block_characters_gets_hashes(monkeypatch):
    monkeypatch.setattr(module, "is_written", lambda text: False)
    text = text_plot("x", [0, 1, 2], [0.0, 1.0, 2.0], wide=40)
    assert text.isascii()
    assert "#" in text
