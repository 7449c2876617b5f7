"""Containers: a registered parameter that is used by way of a plain list.

refused: `self.gains` (a list) holds a tensor that needs a gradient
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A registered parameter that is used by way of a plain list."""

    name: Literal["parameter_in_list"] = "parameter_in_list"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(features))
        self.gains = [self.gain]  # refused here

    def forward(self, x):
        return x.tanh() * self.gains[0]
