"""Counters: a name of the file, which all nets share.

refused: 'CALLS' of counter_global.py
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization

CALLS = 0


@NORMS.add
class Mine(Normalization):
    """A name of the file, which all nets share."""

    name: Literal["counter_global"] = "counter_global"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):  # refused here
        global CALLS
        CALLS += 1
        return x.tanh() if CALLS < 10_000 else x
