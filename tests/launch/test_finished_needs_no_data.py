"""A sweep that lacks no run is passed over without its data, which may be gone or slow to prepare."""

from __future__ import annotations

import pytest
from helpers.launch import records, train

from normbench.launch import session

DIGITS = """
name: tiny
seeds: 2
data: {name: digits, train_size: 200, test_size: 40, batch_size: 20}
model: {name: mlp, depth: 1, width: 8}
train: {steps: 20, eval_every: 20}
sweep: {optimizer.lr: [0.01, 0.1]}
"""
SETS = """
  data.train_size: [200, 100]
"""


@pytest.fixture
def asked(monkeypatch):
    """Return the data sets that sessions ask for."""
    found = []
    load = session.load

    def loading(data, folder):
        found.append(data.train_size)
        return load(data, folder)

    monkeypatch.setattr(session, "load", loading)
    return found


@pytest.mark.parametrize("rates", ["[0.01, 0.1]", "{edge: {from: 0.01, to: 10, precision: 2}}"])
def test_a_finished_sweep_loads_no_data(tmp_path, asked, rates):
    config = DIGITS.replace("[0.01, 0.1]", rates)
    train(tmp_path, config)
    assert asked == [200]
    before = records(tmp_path)
    assert train(tmp_path, config).trained == 0
    assert asked == [200]
    assert records(tmp_path) == before


def test_only_the_data_of_missing_runs_is_loaded(tmp_path, asked):
    train(tmp_path, DIGITS)
    asked.clear()
    wider = DIGITS.replace("sweep: {optimizer.lr: [0.01, 0.1]}", "sweep:\n  optimizer.lr: [0.01, 0.1]" + SETS)
    assert train(tmp_path, wider).trained == 4
    assert asked == [100]
