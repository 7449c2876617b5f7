"""Buffers: a statistic for the log, written at inference too, and never read.

exact: vectorized
"""

from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A statistic for the log, written at inference too, and never read."""

    name: Literal["buffer_logged_at_inference"] = "buffer_logged_at_inference"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.register_buffer("seen", torch.zeros(features))

    def forward(self, x):
        self.seen.copy_(x.detach().mean(0))
        return F.layer_norm(x, x.shape[1:])
