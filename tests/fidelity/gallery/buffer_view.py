"""Buffers: a view of another buffer.

refused: shares its memory with 'hidden.0.norm.whole'
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A view of another buffer."""

    name: Literal["buffer_view"] = "buffer_view"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.register_buffer("whole", torch.zeros(features))
        self.register_buffer("view", self.whole[:2])  # refused here

    def forward(self, x):
        if self.training:
            self.whole.lerp_(x.detach().mean(0), 0.1)
        return x - self.view.mean()
