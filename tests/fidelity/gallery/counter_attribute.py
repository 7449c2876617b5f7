"""Counters: an attribute, for a warm-up.

refused: changes `self.calls` (int)
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """An attribute, for a warm-up."""

    name: Literal["counter_attribute"] = "counter_attribute"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        if self.training:
            self.calls += 1  # refused here
        return x / (1 + 0.01 * self.calls)
