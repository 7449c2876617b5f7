"""While plug-ins are checked, a caller hears how many nets are done."""

from __future__ import annotations

from normbench import api
from normbench.launch.reporter import Reporter

PLUGIN = '''
from typing import Literal
from torch import nn
from normbench.norms import NORMS, Normalization


@NORMS.add
class Halving(Normalization):
    """y = x / 2."""

    name: Literal["halving_for_progress"] = "halving_for_progress"

    def module(self, features):
        return Half()


class Half(nn.Module):
    def forward(self, x):
        return x / 2
'''
CONFIG = """name: x
seeds: 2
data: {name: digits, batch_size: 20, train_size: 200}
model: {name: mlp, width: 8}
train: {steps: 10, eval_every: 5}
sweep:
  model.norm: [none, halving_for_progress]
  model.depth: [1, 2]
  optimizer.lr: [0.1, 1]
"""


class Hearing(Reporter):
    def __init__(self):
        self.heard = []

    def checking(self, done, total):
        self.heard.append((done, total))


def test_the_check_tells_how_many_nets_are_done(tmp_path):
    (tmp_path / "half.py").write_text(PLUGIN)
    (tmp_path / "x.yaml").write_text(CONFIG)
    reporter = Hearing()
    api.plan(tmp_path / "x.yaml", plugins=[tmp_path / "half.py"], reporter=reporter)
    assert reporter.heard == [(0, 2), (1, 2), (1, 2), (2, 2), (2, 2)]  # two depths, each at two rates
    reporter.heard.clear()
    api.plan(tmp_path / "x.yaml", ["sweep.model.norm=[none]"], reporter=reporter)
    assert reporter.heard == []  # nothing is checked
