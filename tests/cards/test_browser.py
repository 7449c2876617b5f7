"""The page in a headless Chromium: no faults, nothing beyond the width, light and dark."""

import pytest
from helpers.page import CHROMIUM, in_chromium

from normbench.cards.pages import as_html

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (Debian's package: chromium)")

ASK = """
const answer = {};
answer.wide = document.documentElement.scrollWidth - innerWidth;
const head = document.querySelector(".rows thead");
answer.head = getComputedStyle(head).display;
const cells = Array.from(document.querySelector(".rows tbody tr:not(.group)").cells);
answer.tops = new Set(cells.map((cell) => cell.getBoundingClientRect().top)).size;
const theme = document.getElementById("theme");
const before = getComputedStyle(document.body).backgroundColor;
theme.click();
answer.themes = [before, getComputedStyle(document.body).backgroundColor];
return answer;
"""


@pytest.mark.parametrize(("width", "head", "tops"), [(1200, "table-header-group", 1), (500, "none", 4)])
def test_the_page_fits(cards, tmp_path, width, head, tops):
    answer, faults = in_chromium(as_html(cards["wrong_axis"]), tmp_path, ASK, width)
    assert faults == []
    assert answer["wide"] <= 0
    assert answer["head"] == head
    assert answer["tops"] == tops  # one line of cells, or one below the other
    assert answer["themes"] == ["rgb(255, 255, 255)", "rgb(23, 25, 30)"]
