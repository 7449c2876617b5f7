"""Writes: `.data =` keeps a gain near 1.

refused: `forward` changes the parameter 'hidden.0.norm.gain'
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """`.data =` keeps a gain near 1."""

    name: Literal["data_assigned"] = "data_assigned"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(features))

    def forward(self, x):
        self.gain.data = self.gain.data.clamp(0.9, 1.1)  # refused here
        return x.tanh() * self.gain
