"""Counters: an entry of a list that matters late.

refused: changes `self.calls` (list)
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """An entry of a list that matters late."""

    name: Literal["counter_list"] = "counter_list"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.calls = [0]

    def forward(self, x):
        self.calls[0] += 1  # refused here
        return x.tanh() if self.calls[0] < 50 else x
