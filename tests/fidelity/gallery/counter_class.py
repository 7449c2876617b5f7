"""Counters: an attribute of the class, which all nets share.

refused: 'calls' of class Layer changes
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """An attribute of the class, which all nets share."""

    name: Literal["counter_class"] = "counter_class"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    calls = 0

    def forward(self, x):  # refused here
        Layer.calls += 1
        return x.tanh() if Layer.calls < 10_000 else x
