"""Counters: an entry of a dict.

refused: changes `self.stats` (dict)
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """An entry of a dict."""

    name: Literal["counter_dict"] = "counter_dict"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.stats = {"calls": 0}

    def forward(self, x):
        self.stats["calls"] += 1  # refused here
        return x * min(1.0, 0.5 + self.stats["calls"] / 10)
