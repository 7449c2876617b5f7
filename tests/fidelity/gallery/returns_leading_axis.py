"""Outputs: an axis in front, which only the loss cannot take.

refused: it got (32, 8) float32 and returned (1, 32, 8) float32
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """An axis in front."""

    name: Literal["returns_leading_axis"] = "returns_leading_axis"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):  # refused here
        return x[None]
