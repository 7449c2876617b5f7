"""Data sets of users through the command line: trained, or refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from helpers.cli import call, good

from normbench import plugins

PLUGIN = '''\
from typing import Literal

import numpy as np
import torch

from normbench.data import DATASETS, DataOptions, RawData, RawInfo, Survey, as_part


def squares(count, seed):
    """Return pictures in [0, 1] whose brightest row tells the class."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, count)
    x = rng.random((count, 1, 6, 6)) * 0.3
    x[np.arange(count), 0, y] += 0.6
    return torch.tensor(x), torch.tensor(y)


KINDS = {
    "features": (lambda x, y: (20 * x - 7, y), 1),
    "bytes": (lambda x, y: ((x * 255).to(torch.uint8), y), None),
    "whole floats": (lambda x, y: ((x * 255).round(), y), None),
    "floats": (lambda x, y: (x.float(), y), 1),
    "one channel": (lambda x, y: (x[:, 0], y.int()), 1),
    "sixteen bits": (lambda x, y: ((x * 65535).int(), y), 65535),
    "no top": (lambda x, y: (x, y), None),
    "from one": (lambda x, y: (x, y + 1), 1),
    "fails": (lambda x, y: x / y[:, None], 1),
}


@DATASETS.add
class Squares(DataOptions):
    """Pictures of many types."""

    name: Literal["squares"] = "squares"
    kind: str = "features"

    def survey(self, root):
        return Survey(RawInfo((1, 6, 6), 4, 400, 100))

    def read(self, root, survey, cache, progress=None):
        change, top = KINDS[self.kind]
        parts = [as_part(*change(*squares(n, seed))) for n, seed in ((400, 0), (100, 1))]
        return RawData(*parts, ("a", "b", "c", "d"), top)
'''
CONFIG = """\
name: squares
seeds: 1
data: {name: squares, batch_size: 20}
model: {name: mlp, depth: 1, width: 16}
optimizer: {name: sgd, lr: 0.3}
train: {steps: 40, eval_every: 20}
sweep: {data.kind: [KINDS]}
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("normbench.plots.plot_results", lambda *_, **__: [])  # takes most of the time
    Path("squares.py").write_text(PLUGIN, encoding="utf-8")

    def command(called, *kinds):
        Path("squares.yaml").write_text(CONFIG.replace("KINDS", ", ".join(kinds)), encoding="utf-8")
        return called("run", "squares.yaml", "--plugin", "squares.py")

    with plugins.unchanged():
        yield command


def test_one_set_in_six_types_is_learned_alike(run):
    run(good, "features", "bytes", "whole floats", "floats", "one channel", "sixteen bits")
    frame = pd.read_csv("results/squares/runs.csv")
    assert len(frame) == 6
    assert set(frame["status"]) == {"finished"}
    assert frame["final_test_accuracy"].min() == 1
    losses = frame["final_test_loss"]
    assert losses.max() < 1.02 * losses.min()  # equal but for the rounding to bytes


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("no top", "data 'squares', train: x is float64, from "),
        ("from one", "data 'squares', train: the labels y run from 1 to 4; expected 0 to 3; subtract 1"),
        ("fails", "data 'squares': squares.py:27: RuntimeError: "),
    ],
)
def test_a_faulty_set_is_refused_before_anything_is_written(run, kind, sentence):
    result = run(call, kind)
    assert result.exit_code == 2
    assert sentence in " ".join(result.output.split())
    assert "Traceback" not in result.output
    assert not Path("results").exists()
