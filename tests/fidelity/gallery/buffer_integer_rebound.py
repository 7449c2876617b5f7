"""Buffers: an integer that is bound to a new tensor, and a Boolean that follows from it.

exact: vectorized
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """An integer that is bound to a new tensor, and a Boolean that follows from it."""

    name: Literal["buffer_integer_rebound"] = "buffer_integer_rebound"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.register_buffer("seen", torch.tensor(0))
        self.register_buffer("late", torch.tensor(False))

    def forward(self, x):
        if self.training:
            self.seen = self.seen + 1
            self.late = self.seen > 2
        return torch.where(self.late, x.tanh(), x)
