"""`draw` puts one panel on the user's axes, or says which panels there are."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers.results import rate_runs, write
from matplotlib.figure import Figure

from normbench import api
from normbench.errors import NormbenchError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = [
        one
        for norm, best in (("none", 0.5), ("$batchnorm$", 0.9))
        for seed in range(2)
        for one in rate_runs(
            {"model.norm": norm}, seed, [0.1, 1], "TT", final_test_accuracy=best, train_loss_last_tenth=0.1
        )
    ]
    folder = tmp_path_factory.mktemp("axes") / "made_up"
    write(folder, made)
    return folder


def test_the_panel_of_a_place_is_drawn_with_its_numbers(folder):
    ax = Figure().add_subplot()
    assert api.draw("rate", folder, ax=ax, place=0) is ax
    heights = {float(y) for line in ax.lines for y in np.atleast_1d(line.get_ydata())}
    assert {0.5, 0.9} <= heights
    assert "accuracy" in ax.get_ylabel()
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts[:2] == ["none", "$batchnorm$"]
    ax.figure.draw_without_rendering()  # a name with dollar signs is no formula


def test_the_legend_can_be_left_out_and_wishes_are_those_of_plot(folder):
    ax = api.draw("rate", folder, ax=Figure().add_subplot(), place=0, legend=False, where=["model.norm=none"])
    assert ax.get_legend() is None
    heights = {float(y) for line in ax.lines for y in np.atleast_1d(line.get_ydata())}
    assert 0.9 not in heights


def test_several_panels_are_listed_and_a_wrong_place_is_refused(folder):
    with pytest.raises(NormbenchError) as error:
        api.draw("rate", folder, ax=Figure().add_subplot())
    assert str(error.value).startswith("draw: 'rate' has 2 panels here; choose one with place=, or fewer")
    assert "(0: rate, final test accuracy (share); 1: rate, final training loss (nats))" in str(error.value)
    with pytest.raises(NormbenchError, match=r"^draw: place: found 2; allowed: 0 to 1 \(0: rate"):
        api.draw("rate", folder, ax=Figure().add_subplot(), place=2)


def test_without_axes_those_of_pyplot_are_drawn_on(folder, monkeypatch):
    monkeypatch.setattr(plt, "gca", Figure().add_subplot)
    assert api.draw("rate", folder, place=1).get_ylabel() == "final training loss (nats)"
