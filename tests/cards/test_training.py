"""What a card trains: within its budget, nothing twice, and what it refuses."""

import json

import pytest
from helpers.cli import call, good
from helpers.scorecard import BUDGET, SETUP, plugin_file, use_tiny

from normbench import plugins
from normbench.cards import training
from normbench.cards.card import make_card
from normbench.cards.training import Request, prepare, train
from normbench.errors import NormbenchError

SMALL = 6.0  # seconds: the learning rates and the cost


@pytest.fixture
def tiny(monkeypatch):
    use_tiny(monkeypatch)


@pytest.mark.usefixtures("tiny")
def test_more_budget_goes_on_and_nothing_is_trained_twice(tmp_path):
    def card(budget):
        return train(prepare(Request("layernorm", ["none"], budget=budget, results=tmp_path)))

    small = card(SMALL)
    assert small.trained > 0
    assert list(small.prepared.chosen.sizes) == ["rates", "cost"]
    again = card(SMALL)
    assert (again.trained, again.skipped) == (0, small.trained)
    large = card(BUDGET)
    assert large.skipped == small.trained
    assert list(large.prepared.chosen.sizes) == ["rates", "cost", "batches", "initialization"]
    assert card(SMALL).trained == 0  # and a smaller budget loses nothing
    assert card(BUDGET).trained == 0
    (one,) = [c for c in make_card(small.prepared).comparisons if c.row.name == "saved_bytes"]
    assert one.difference.low == pytest.approx(one.difference.high)  # counted: the same in all seeds
    assert one.difference.low > 1.01
    assert (one.word, one.p_family, one.holds) == ("worse", 0.0, True)


@pytest.mark.usefixtures("tiny")
def test_a_stopped_card_goes_on(tmp_path):
    prepared = prepare(Request("layernorm", ["none"], budget=SMALL, results=tmp_path))
    calls = iter(range(10**9))
    stopped = train(prepared, should_stop=lambda: next(calls) >= 3)
    assert stopped.interrupted
    done = train(prepared)
    assert not done.interrupted
    assert {entry.value.n for row in make_card(prepared).rows for entry in row.entries} == {3, 6}


@pytest.mark.usefixtures("tiny")
def test_the_command_makes_the_card_of_a_plug_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plugin = plugin_file(tmp_path)
    with plugins.unchanged():
        found = good("scorecard", "tiny", "--plugin", plugin, "--against", "none", "--budget", "5s")
    folder = tmp_path / "results" / "scorecard_tiny_digits"
    assert "Where tiny is worse:" in found.stdout
    assert "depth 2: final test accuracy at the best rate: -" in found.stdout
    assert "left out for want of budget: " in found.stderr
    for ending in ("html", "md", "tex", "json"):
        assert (folder / f"scorecard.{ending}").is_file()
    assert json.loads((folder / "scorecard.json").read_text(encoding="utf-8"))["against"] == ["none"]
    with plugins.unchanged():  # the plug-in that the results keep; an edited one has runs of its own
        again = good("scorecard", "tiny", "--against", "none", "--budget", "5s", "--json")
        assert "trained 0 runs" in again.stderr
        assert json.loads(again.stdout)["norm"] == "tiny"
    with plugins.unchanged():
        plugin.write_text(plugin.read_text(encoding="utf-8").replace("1e-6 *", "1e-5 *"), encoding="utf-8")
        edited = good("scorecard", "tiny", "--plugin", plugin, "--against", "none", "--budget", "5s")
    assert "trained 0 runs" not in edited.stderr
    assert " were there already" in edited.stderr  # those without the plug-in


@pytest.mark.usefixtures("tiny")
def test_what_cannot_be_trained_is_said(tmp_path):
    prepared = prepare(Request("batchnorm", ["none"], budget=BUDGET, results=tmp_path))
    assert "batch of one" in prepared.refused["batches"]["batchnorm", 1]
    assert set(prepared.refused["batches"]) == {("batchnorm", 1)}
    assert not tmp_path.joinpath("scorecard_batchnorm_digits").exists()  # a plan writes nothing


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": "digit"}, "--data: 'digit' is unknown here; did you mean 'digits'?"),
        ({"target": 90.0}, "--target: found 90; allowed: a test accuracy between 0 and 1"),
        ({"norm": "batchnrm"}, "NORM: the normalization 'batchnrm' is unknown; did you mean 'batchnorm'?"),
        ({"against": ["nope"]}, "--against: the normalization 'nope' is unknown"),
        ({"against": ["BN"]}, "--against: names nothing but 'batchnorm'"),
        ({"budget": 1.0}, "--budget: 1 s is too little for the smallest card"),
    ],
)
def test_refusals(tmp_path, changes, said):
    asked = {"norm": "batchnorm", "against": ["none"], "results": tmp_path, **changes}
    with pytest.raises(NormbenchError) as error:
        prepare(Request(**asked))
    assert str(error.value).startswith(said)


def test_a_budget_that_is_no_time():
    found = call("scorecard", "batchnorm", "--budget", "soon")
    assert found.exit_code == 2
    assert "--budget: found 'soon'; allowed: a time above 0 such as 90s" in found.stderr


def test_the_tiny_setup_is_like_the_others():
    assert set(SETUP.base) == {"data", "model", "optimizer", "train"}


@pytest.mark.usefixtures("tiny")
def test_it_can_be_interrupted_while_it_plans(tmp_path, monkeypatch):
    def planning(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(training.api, "run", planning)
    found = call("scorecard", "layernorm", "--against", "none", "--budget", "6s", "--results", tmp_path)
    assert found.exit_code == 130
    assert (
        "section 1 of 2: Learning rates, speed and accuracy, by depth: depth 2, 3 seeds; plan" in found.stderr
    )
    assert "interrupted\ncontinue with:  " in found.stderr
