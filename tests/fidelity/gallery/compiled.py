"""Compilers: a function under torch.compile.

exact: vectorized
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@torch.compile
def squash(x, gain):
    return torch.tanh(x) * gain


@NORMS.add
class Mine(Normalization):
    """A function under torch.compile."""

    name: Literal["compiled"] = "compiled"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(features))

    def forward(self, x):
        return squash(x, self.gain)
