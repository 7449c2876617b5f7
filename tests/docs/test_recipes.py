"""Each recipe plans, trains with few steps and is judged; docs/recipes.md names them all."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from helpers.cli import call, good
from helpers.docs_script import DOCS

from normbench import plugins
from normbench.config import load_config
from normbench.recipes import recipe_text, recipes

PAGE = (DOCS / "recipes.md").read_text(encoding="utf-8")
LAYER = (DOCS / "your_own_layer.md").read_text(encoding="utf-8")
NAMES = [recipe.name for recipe in recipes()]
QUESTIONS = re.findall(r"^\| [^|]*\? \| `(\w+)` \|", PAGE, re.M)
QUICK = "largest_rate"  # the others: `make thorough`
OF_PHOTOGRAPHS = "own_images"  # needs a folder of them
WITHOUT_CLAIM = ("first_look", OF_PHOTOGRAPHS)
# The lengths that the recipes set, and short ones; each config is trained as it stands otherwise.
LENGTHS = re.compile(r"(?<=steps: )\d+|(?<=eval_every: )\d+|(?<=train.steps: )\[300, 150\]|(?<=seeds: )\d+")
FEW = {"[300, 150]": "[4, 2]"}


def test_the_page_names_each_recipe_once():
    assert sorted(QUESTIONS) == sorted(NAMES)


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Return the options of a recipe that needs a plug-in; it works in an empty folder."""
    monkeypatch.chdir(tmp_path)
    text = re.findall(r"```python\n(.*?)```", LAYER, re.S)[0]
    (tmp_path / "my_norm.py").write_text(text, encoding="utf-8")
    with plugins.unchanged():
        yield lambda name: ("--plugin", "my_norm.py") if name == "own_layer" else ()


@pytest.mark.parametrize(
    "name",
    [
        one if one == QUICK else pytest.param(one, marks=pytest.mark.thorough)
        for one in NAMES
        if one != OF_PHOTOGRAPHS
    ],
)
def test_a_recipe_plans_trains_and_is_judged(name, plugin):
    good("init", name)
    path, more = f"{name}.yaml", plugin(name)
    good("plan", path, *more)
    Path(path).write_text(
        LENGTHS.sub(lambda found: FEW.get(found[0], "2"), recipe_text(name)), encoding="utf-8"
    )
    good("run", path, "--no-figures", *more)
    runs = pd.read_csv(f"results/{name}/runs.csv")
    assert runs["steps"].max() <= 4
    assert set(runs["status"]) <= {"finished", "diverged"}
    if name not in WITHOUT_CLAIM:
        found = json.loads(call("verify", f"results/{name}", "--json", *more).stdout)
        assert found
        assert {one["verdict"] for one in found} == {"inconclusive"}  # two seeds decide nothing


@pytest.mark.parametrize("name", [name for name in NAMES if name not in WITHOUT_CLAIM])
def test_a_recipe_trains_on_digits_and_has_a_claim_with_enough_seeds(name, plugin):
    good("init", name)
    plugins.load_plugins([*plugin(name)][1:])
    experiment = load_config(f"{name}.yaml")
    assert experiment.claims
    assert {cell.settings.data.name for cell in experiment.cells} == {"digits"}
    assert len(experiment.seeds) >= 3
