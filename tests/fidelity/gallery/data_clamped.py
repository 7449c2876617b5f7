"""Writes: `.data.clamp_()` that changes nothing at first.

refused: `forward` changes the parameter 'hidden.0.norm.gain'
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """`.data.clamp_()` that changes nothing at first."""

    name: Literal["data_clamped"] = "data_clamped"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(features))

    def forward(self, x):
        self.gain.data.clamp_(0.5, 2)  # refused here
        return x.tanh() * self.gain
