"""The pages about a user's own layers, models, activations, optimizers and data work as they stand."""

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
from helpers.cli import good

from normbench import plugins

PAGES = sorted((Path(__file__).parents[2] / "docs").glob("your_own_*.md"))


def files_of(page):
    """Return the files that a page shows, by name: each begins with a comment that names it."""
    return dict(re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", page.read_text(encoding="utf-8"), re.S))


def commands_of(page):
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    return [shlex.split(line)[1:] for block in blocks for line in block.splitlines() if line]


def test_there_is_a_page_for_each_kind():
    kinds = {page.stem.removeprefix("your_own_") for page in PAGES}
    assert kinds == {"layer", "model", "activation", "optimizer", "data"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_files_and_commands_of_a_page_work(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Drawing takes most of the time, and has tests of its own.
    monkeypatch.setattr("normbench.plots.plot_results", lambda *_, **__: [])
    for name, text in files_of(page).items():
        Path(name).write_text(text, encoding="utf-8")
    with plugins.unchanged():
        for command in commands_of(page):
            good(*command)
    found = list(Path("results").glob("*/runs.csv"))
    assert len(found) == sum(command[0] == "run" for command in commands_of(page))
    for runs in found:
        frame = pd.read_csv(runs)
        assert set(frame["status"]) <= {"finished", "diverged"}
        assert (frame["status"] == "finished").mean() > 0.5
        assert frame["final_test_accuracy"].max() > 0.5
