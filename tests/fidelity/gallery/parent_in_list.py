"""Containers: a part that refers to its parent through a list.

exact: vectorized
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A part that refers to its parent through a list."""

    name: Literal["parent_in_list"] = "parent_in_list"

    def module(self, features):
        return Layer(features)


class Part(nn.Module):
    def __init__(self, parent):
        super().__init__()
        self.parent = [parent]

    def forward(self, x):
        return x.tanh() * self.parent[0].gain


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(features))
        self.part = Part(self)

    def forward(self, x):
        return self.part(x)
