"""Attributes: a view of a parameter, taken in __init__.

refused: what was computed from a parameter once
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A view of a parameter, taken in __init__."""

    name: Literal["attribute_view"] = "attribute_view"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, features // 2))
        self.flat = self.weight.view(-1)  # refused here

    def forward(self, x):
        return x.tanh() * self.flat
