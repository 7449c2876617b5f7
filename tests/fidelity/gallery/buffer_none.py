"""Buffers: None until the first batch sets it.

refused: makes the buffer 'hidden.0.norm.mean'
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """None until the first batch sets it."""

    name: Literal["buffer_none"] = "buffer_none"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.register_buffer("mean", None)

    def forward(self, x):
        if self.mean is None:
            self.mean = x.detach().mean(0)  # refused here
        return x - self.mean
