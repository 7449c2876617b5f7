"""Counters: an attribute of a parameter.

refused: changes `self.gain`
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """An attribute of a parameter."""

    name: Literal["counter_of_parameter"] = "counter_of_parameter"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(features))
        self.gain.count = 0

    def forward(self, x):
        self.gain.count = getattr(self.gain, "count", 0) + 1  # refused here
        return x.tanh() * self.gain if self.gain.count < 50 else x * self.gainain
