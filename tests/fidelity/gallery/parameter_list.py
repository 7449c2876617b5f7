"""Containers: nn.ParameterList.

exact: vectorized
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Nn.ParameterList."""

    name: Literal["parameter_list"] = "parameter_list"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.gains = nn.ParameterList([torch.ones(features), torch.full((features,), 0.5)])

    def forward(self, x):
        return sum(gain * x.tanh() ** (index + 1) for index, gain in enumerate(self.gains))
