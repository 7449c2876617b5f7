"""Randomness: an own generator of torch.

refused: a layer calls torch's 'rand'
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """An own generator of torch."""

    name: Literal["random_own_generator"] = "random_own_generator"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.rng = torch.Generator().manual_seed(0)

    def forward(self, x):
        return x * torch.rand(1, generator=self.rng, dtype=x.dtype)  # refused here
