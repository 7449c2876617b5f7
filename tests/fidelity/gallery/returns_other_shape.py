"""Outputs: another shape.

refused: it got (32, 8) float32 and returned (32,) float32
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Another shape."""

    name: Literal["returns_other_shape"] = "returns_other_shape"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):  # refused here
        return x.mean(1)
