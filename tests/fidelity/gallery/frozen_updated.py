"""Frozen: a parameter without gradient as running mean.

refused: `forward` changes the parameter 'hidden.0.norm.mean'
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A parameter without gradient as running mean."""

    name: Literal["frozen_updated"] = "frozen_updated"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(features), requires_grad=False)

    def forward(self, x):
        if self.training:
            self.mean.lerp_(x.detach().mean(0), 0.1)  # refused here
        return x - self.mean
