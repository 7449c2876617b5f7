"""Caches: a constant matrix, made in the first pass.

exact: vectorized
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A constant matrix, made in the first pass."""

    name: Literal["cache_mask"] = "cache_mask"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.mix = None

    def forward(self, x):
        if self.mix is None or self.mix.dtype != x.dtype:
            self.mix = torch.eye(x.shape[1], dtype=x.dtype) - 1 / x.shape[1]
        return x @ self.mix
