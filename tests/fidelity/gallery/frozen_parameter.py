"""Frozen: a parameter with requires_grad=False.

exact: vectorized
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A parameter with requires_grad=False."""

    name: Literal["frozen_parameter"] = "frozen_parameter"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.gain = nn.Parameter(torch.full((features,), 2.0), requires_grad=False)
        self.offset = nn.Parameter(torch.zeros(features))

    def forward(self, x):
        return x.tanh() * self.gain + self.offset
