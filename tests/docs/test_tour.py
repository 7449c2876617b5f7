"""docs/tour.md: its files and commands, in their order, on a smaller grid; its figures are theirs."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest
from helpers.cli import call, good
from helpers.docs_script import DOCS, docs_script

from normbench import plugins

TEXT = (DOCS / "tour.md").read_text(encoding="utf-8")
SMALLER = {
    "seeds: 6": "seeds: 2",
    "--set seeds=9": "--set seeds=3",
    "steps: 200": "steps: 100",
    "num: 9": "num: 3",
}


@pytest.fixture(scope="module")
def script():
    with docs_script("tour_figures") as module:
        yield module


@pytest.mark.thorough
def test_the_files_and_commands_work_in_their_order(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Drawing takes most of the time, and has tests of its own.
    monkeypatch.setattr("normbench.plots.plot_results", lambda *_, **__: [])
    text = TEXT
    for large, small in SMALLER.items():
        assert large in text
        text = text.replace(large, small)
    given = []

    def command(words):
        given.append(words[0])
        good(*words)

    with plugins.unchanged():
        script.follow(text, command)
    assert given == ["plan", "run", "list", "plot", "run", "verify", "plot", "run", "report"]
    runs = pd.read_csv("results/tour/runs.csv")
    assert sorted(runs["model.norm"].unique()) == ["absnorm", "batchnorm", "layernorm", "none"]
    assert len(runs) == 4 * 3 * 3


def test_every_block_is_run_or_marked():
    kinds = re.findall(r"^```(.+)$", TEXT, re.M)
    assert kinds.count("console") == 1  # the installation
    assert set(kinds) <= {"sh", "yaml", "python", "console"}


def test_the_figures_are_there_small_and_drawn_by_a_command_of_the_page(script):
    shown = script.figures()
    assert len(shown) == 3
    assert sum((DOCS / path).stat().st_size for path in shown) < 300_000
    for path in shown:
        assert f"--figure {path.removeprefix('tour/').removesuffix('.png')}" in TEXT
    assert sorted(f"tour/{path.name}" for path in (DOCS / "tour").iterdir()) == sorted(shown)


def test_another_program_than_normbench_is_an_error(script):
    with pytest.raises(ValueError, match="found the command rm; allowed: normbench"):
        script.follow("```sh\nrm -r x\n```\n", print)


@pytest.mark.thorough
def test_the_verdicts_are_those_that_the_page_tells(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("normbench.plots.plot_results", lambda *_, **__: [])
    with plugins.unchanged():
        script.follow(TEXT.partition("## 6.")[0], lambda words: good(*words))
        found = json.loads(call("verify", "results/tour", "--json").stdout)
    assert {one["id"]: one["verdict"] for one in found} == dict(
        re.findall(r"`(batchnorm|mine)` is \*(\w+)\*", TEXT)
    )
