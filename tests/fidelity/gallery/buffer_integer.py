"""Buffers: an integer that counts the steps of a warm-up.

exact: vectorized
"""

from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """An integer that counts the steps of a warm-up."""

    name: Literal["buffer_integer"] = "buffer_integer"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.register_buffer("seen", torch.tensor(0))

    def forward(self, x):
        if self.training:
            self.seen += 1
        share = (self.seen / 5).clamp(max=1)
        return (1 - share) * x + share * F.layer_norm(x, x.shape[1:])
