"""Cards that several modules look at: trained once, with plug-ins that are gone afterwards."""

import pytest
from helpers.scorecard import BUDGET, plugin_file, use_tiny

from normbench import plugins
from normbench.cards.card import make_card
from normbench.cards.training import Request, prepare, train


@pytest.fixture(scope="package")
def cards(tmp_path_factory):
    """The cards of three plug-ins; later ones have the plug-ins before them among the others."""
    folder = tmp_path_factory.mktemp("cards")
    plugin = plugin_file(folder)
    found = {}
    with pytest.MonkeyPatch.context() as patch, plugins.unchanged():
        use_tiny(patch)
        asked = {
            "identity": (["none"], BUDGET),
            "wrong_axis": (["none", "identity"], 9.0),
            "tiny": (["none"], 5.0),
        }
        for norm, (against, budget) in asked.items():
            request = Request(norm, against, budget=budget, results=folder / "results", plugins=[plugin])
            prepared = prepare(request)
            train(prepared)
            found[norm] = make_card(prepared)
    return found
