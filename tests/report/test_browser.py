"""The page in a headless Chromium: no faults, sorting, filtering, words under the pointer and by keyboard."""

from __future__ import annotations

import pytest
from helpers.page import CHROMIUM, in_chromium
from helpers.synthetic import write_results

from normbench.report.page import Page

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (Debian's package: chromium)")

ASK = """
const table = document.querySelector(".sortable"), rows = () => Array.from(table.tBodies[0].rows);
const column = (name) => Array.from(table.tHead.rows[0].cells).findIndex((cell) => cell.textContent === name);
const seen = () => rows().filter((row) => !row.hidden);
const values = (name) => seen().map((row) => row.cells[column(name)].textContent);
const head = (name) => table.tHead.rows[0].cells[column(name)].querySelector("button");
const answer = {};
head("learning rate").click();
answer.up = values("learning rate").map(Number);
head("learning rate").click();
answer.down = values("learning rate").map(Number);
answer.sort = head("learning rate").parentNode.getAttribute("aria-sort");
const input = document.querySelector(".filters input");
input.value = "batchnorm trains";
input.dispatchEvent(new Event("input"));
answer.found = values("norm");
answer.said = document.querySelector(".filters output").textContent;
answer.curves = document.querySelectorAll(".curves [data-r]:not(.off)").length;
const panel = document.querySelector(".figures .panel[tabindex]"), tip = document.getElementById("tip");
panel.scrollIntoView({ behavior: "instant" });
panel.focus();
panel.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
answer.key = tip.textContent;
answer.name = document.activeElement.getAttribute("aria-label");
const curve = document.querySelector(".curves [data-r]:not(.off)");
curve.scrollIntoView({ behavior: "instant", block: "center" });
const at = curve.getPointAtLength(curve.getTotalLength() / 2).matrixTransform(curve.getScreenCTM());
const moved = { clientX: at.x, clientY: at.y, bubbles: true };
curve.ownerSVGElement.dispatchEvent(new PointerEvent("pointermove", moved));
answer.pointer = tip.hidden ? "" : tip.textContent;
const theme = document.getElementById("theme");
const before = getComputedStyle(document.body).backgroundColor;
theme.click();
answer.themes = [before, getComputedStyle(document.body).backgroundColor];
answer.wide = document.documentElement.scrollWidth - innerWidth;
return answer;
"""


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    axes = {"model.norm": ["none", "batchnorm"], "optimizer.lr": [0.001, 0.1, 1.0, 100.0]}
    folder = write_results(tmp_path_factory.mktemp("browser") / "small", axes=axes, seeds=2)
    return Page([folder]).html


@pytest.mark.parametrize("width", [1200, 390])
def test_the_page_works(html, tmp_path, width):
    answer, faults = in_chromium(html, tmp_path, ASK, width)
    assert faults == []
    assert answer["up"] == sorted(answer["up"])
    assert len(answer["up"]) == 16
    assert answer["down"] == sorted(answer["up"], reverse=True)
    assert answer["sort"] == "descending"
    assert set(answer["found"]) == {"batchnorm"}
    assert answer["said"] == f"{len(answer['found'])} of 16 runs"
    assert answer["curves"] == len(answer["found"])
    assert answer["key"].startswith("learning rate 0.001\nnorm none")
    assert "training loss" in answer["key"]
    assert answer["name"] == answer["key"].replace("\n", "; ")
    assert "norm batchnorm" in answer["pointer"]
    assert "learning rate" in answer["pointer"]
    assert answer["themes"] == ["rgb(255, 255, 255)", "rgb(23, 25, 30)"]
    assert answer["wide"] <= 0
