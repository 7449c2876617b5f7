"""Counters: an attribute that matters only from step 37 on.

refused: changes `self.calls` (int)
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """An attribute that matters only from step 37 on."""

    name: Literal["counter_late"] = "counter_late"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1  # refused here
        if self.calls > 37:
            raise RuntimeError("unexpected")
        return x.tanh()
