"""Sharing: one layer applied twice.

exact: vectorized
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """One layer applied twice."""

    name: Literal["layer_used_twice"] = "layer_used_twice"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.mix = nn.Linear(features, features)

    def forward(self, x):
        return self.mix(torch.tanh(self.mix(x)))
