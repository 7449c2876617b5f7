"""What users wrote is text in a figure: it cannot close an element, begin a script or be mathematics."""

import re
from xml.etree import ElementTree

import pandas as pd
import pytest
import yaml
from helpers.synthetic import RATES, write_layers, write_results

from normbench.plots import plot_results

EVIL = '"/><script>alert(1)</script>&amp;--> ]]> $\\frac{'
# what matplotlib makes of a figure without any text of users
ELEMENTS = {
    "svg", "metadata", "defs", "g", "path", "use", "style", "clipPath", "rect", "image",
    "RDF", "Work", "type", "format", "creator", "Agent", "title",
}  # fmt: skip


@pytest.mark.thorough
def test_figures_stay_pictures_whatever_users_wrote(tmp_path):
    """All that `plot` draws of an experiment whose title, variants and levels are hostile."""
    axes = {"model.norm": ["none", EVIL], "model.activation": ["relu", "$x$<b>"], "optimizer.lr": RATES[::2]}
    folder = write_results(tmp_path / "evil", axes=axes, seeds=2, title=EVIL)
    write_layers(folder, steps=4, depth=2)
    layers = pd.read_csv(folder / "layers.csv")
    layers["layer"] = layers["layer"].replace({"hidden.0": EVIL, "hidden.1": "$x_1$ <b>\x01"})
    layers.to_csv(folder / "layers.csv", index=False)
    assert EVIL in yaml.safe_load((folder / "config.yaml").read_text())["title"]
    paths = plot_results(folder, formats=["svg"], target=0.5)
    assert len(paths) >= 20
    for path in paths:
        text = path.read_text(encoding="utf-8")
        found = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(text).iter()}
        assert found <= ELEMENTS, (path.name, found - ELEMENTS)
        assert "<script" not in re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL), path.name
        assert not re.search(r"\son\w+=|javascript:", text), path.name
