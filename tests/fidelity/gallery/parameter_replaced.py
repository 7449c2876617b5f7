"""Structure: the parameter is made anew in each pass.

refused: replaces 'hidden.0.norm.gain'
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """The parameter is made anew in each pass."""

    name: Literal["parameter_replaced"] = "parameter_replaced"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(features))

    def forward(self, x):
        self.gain = nn.Parameter(self.gain.detach().clone())  # refused here
        return x.tanh() * self.gain
