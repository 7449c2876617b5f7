"""Errors: only batches of the usual size work.

refused: must match the size
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Only batches of the usual size work."""

    name: Literal["raises_on_other_sizes"] = "raises_on_other_sizes"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.register_buffer("weight", torch.linspace(0.5, 1.5, 32))

    def forward(self, x):
        return x * self.weight.to(x.dtype).unsqueeze(1)[: len(x)]  # refused here
