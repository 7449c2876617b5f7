"""What users wrote is text in a figure: it cannot close an element, begin a script or be mathematics."""

import re
from xml.etree import ElementTree

import pytest
import yaml
from synthetic import RATES, write_results

from normbench.plots import figures, plot_results

EVIL = '"/><script>alert(1)</script>&amp;--> ]]> $\\frac{'
# what matplotlib makes of a figure without any text of users
ELEMENTS = {
    "svg", "metadata", "defs", "g", "path", "use", "style", "clipPath", "rect", "image",
    "RDF", "Work", "type", "format", "creator", "Agent", "title",
}  # fmt: skip


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """All figures of an experiment whose title, variants and levels are hostile."""
    axes = {"model.norm": ["none", EVIL], "model.activation": ["relu", "$x$<b>"], "optimizer.lr": RATES[::2]}
    folder = write_results(tmp_path_factory.mktemp("evil") / "evil", axes=axes, seeds=2, title=EVIL)
    assert EVIL in yaml.safe_load((folder / "config.yaml").read_text())["title"]
    return {path.stem: path for path in plot_results(folder, formats=["svg"], target=0.5)}


@pytest.mark.parametrize("name", figures())
def test_a_figure_stays_a_picture_whatever_users_wrote(drawn, name):
    text = drawn[name].read_text(encoding="utf-8")
    found = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(text).iter()}
    assert found <= ELEMENTS, found - ELEMENTS
    assert "<script" not in re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    assert not re.search(r"\son\w+=|javascript:", text)
