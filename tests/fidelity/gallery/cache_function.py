"""Caches: functools.lru_cache around a constant.

exact: vectorized
"""

from functools import lru_cache
from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@lru_cache
def center(n, dtype):
    return torch.eye(n, dtype=dtype) - 1 / n


@NORMS.add
class Mine(Normalization):
    """Functools.lru_cache around a constant."""

    name: Literal["cache_function"] = "cache_function"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):
        return x @ center(x.shape[1], x.dtype)
