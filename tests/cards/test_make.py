"""A card from Python: the numbers of the command, as frames and texts, of classes that have no file."""

import json

import numpy as np
import pandas as pd
import pytest
from helpers.cells import execute
from helpers.cli import good
from helpers.scorecard import use_tiny
from torch import nn

import normbench
from normbench import plugins
from normbench.cards.make import scorecard
from normbench.errors import NormbenchError
from normbench.launch.reporter import Reporter

CELL = """
import torch
from torch import nn

class MyNorm(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(features))

    def forward(self, x):
        return self.gain * (x - x.mean(1, keepdim=True))

class Halve(nn.Module):
    def forward(self, x):
        return x / 2
"""
BUDGET = 5.0  # seconds: the learning rates and the cost


class Heard(Reporter):
    def __init__(self):
        self.said = []

    def message(self, text):
        self.said.append(text)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The card of a class, the same once more, and what the command makes of it then."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        use_tiny(patch)
        heard = Heard()
        with plugins.unchanged():
            book = execute([CELL], "a_card", patch)
            card = normbench.scorecard(book.MyNorm, "none", budget=BUDGET, results=folder, reporter=heard)
            again = scorecard("my_norm", ["none"], budget="5s", results=folder)
        with plugins.unchanged():
            command = good("scorecard", "my_norm", "--against", "none", "--budget", "5s", "--results", folder)
        yield card, again, command, heard


def test_the_command_makes_the_same_card(made):
    card, again, command, heard = made
    assert card.trained.trained > 0
    assert (again.trained.trained, again.trained.skipped) == (0, card.trained.trained)
    assert "trained 0 runs" in command.stderr
    assert json.loads(card.files[3].read_text(encoding="utf-8")) == card.json == again.json
    assert [path.name for path in card.files] == [f"scorecard.{end}" for end in ("html", "md", "tex", "json")]
    assert card.files[1].read_text(encoding="utf-8") == card.markdown
    for sentence in heard.said[:2]:
        assert sentence in command.stderr
    assert heard.said[1].startswith("left out for want of budget: ")


def test_the_frames_have_the_numbers_of_the_json(made):
    card = made[0]
    frame = card.numbers.set_index(["section", "setting", "name", "norm"])
    rows = [(row, entry) for row in card.json["rows"] for entry in row["entries"]]
    assert len(frame) == len(rows)
    for row, entry in rows:
        found = frame.loc[(row["section"], row["setting"], row["name"], entry["norm"])]
        for column in ("estimate", "ci_low", "ci_high", "n"):
            wanted = np.nan if entry[column] is None else float(entry[column])
            np.testing.assert_allclose(float(found[column]), wanted, rtol=1e-9)  # JSON has ten digits
        assert (None if pd.isna(found["rank_best"]) else found["rank_best"]) == entry["rank_best"]
        assert np.isnan(found["change_estimate"]) == (entry["change"] is None)
    assert card.numbers["rank_worst"].dtype == "Int64"
    assert list(card.comparisons["other"].unique()) == ["none"]
    assert list(card.comparisons["word"]) == [one["word"] for one in card.json["comparisons"]]
    runs = normbench.load(card.folder / "rates").runs
    assert set(runs["model.norm"]) == {"my_norm", "none"}


def test_it_shows_itself_shortly_and_as_a_table(made):
    card, _, command, _ = made
    assert repr(card).startswith("Scorecard('my_norm' on digits against none: better in ")
    assert len(repr(card)) < 110
    table = str(card)
    assert table in command.stdout
    assert "Scorecard of my_norm on digits (in brackets: the rank)" in table
    assert "Where my_norm is worse:" in table
    page = card._repr_html_()
    assert "<b>Scorecard of my_norm on digits</b>" in page
    assert page.count("<tr>") == 1 + len(card.card.rows)
    assert "rank 1" in page
    assert card.html.startswith("<!doctype html>")
    assert "\\toprule" in card.latex
    assert (card.norm, card.against) == ("my_norm", ("none",))
    assert card.left_out[0] in page


def test_a_card_that_was_stopped_has_no_files(tmp_path, monkeypatch):
    use_tiny(monkeypatch)
    card = scorecard("layernorm", "none", budget=BUDGET, results=tmp_path, should_stop=lambda: True)
    assert card.files == ()
    assert card.numbers.empty or card.numbers["n"].max() == 0
    assert "stopped before the end" in repr(card)
    assert "the same call continues it" in card._repr_html_()
    assert not list(card.folder.glob("scorecard.*"))


@pytest.mark.parametrize(
    ("norm", "options", "said"),
    [
        ("Halve", {}, "own: Halve.__init__ must take the number of features"),
        (nn.ReLU, {}, "own: ReLU is no normalization, and a card is about normalizations"),
        ("batchnorm", {"budget": "soon"}, "--budget: found 'soon'; allowed: a time above 0 such as 90s"),
        ("batchnorm", {"budget": -1}, "budget: found -1; allowed: seconds above 0, or a text such as '10m'"),
        ("batchnorm", {"budget": True}, "budget: found True"),
        ("batchnorm", {"against": "nope"}, "--against: the normalization 'nope' is unknown"),
    ],
)
def test_refusals(norm, options, said, monkeypatch, tmp_path):
    book = execute([CELL], "a_card", monkeypatch)
    given = getattr(book, norm, norm) if isinstance(norm, str) else norm
    with plugins.unchanged(), pytest.raises(NormbenchError) as error:
        scorecard(given, **{"against": "none", "results": tmp_path, **options})
    assert str(error.value).startswith(said)
