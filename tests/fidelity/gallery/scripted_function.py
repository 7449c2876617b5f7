"""Compilers: a function under torch.jit.script.

exact: vectorized
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@torch.jit.script
def squash(x: torch.Tensor) -> torch.Tensor:
    return torch.tanh(x) * 2 - x


@NORMS.add
class Mine(Normalization):
    """A function under torch.jit.script."""

    name: Literal["scripted_function"] = "scripted_function"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):
        return squash(x)
