"""Outputs: a tuple.

refused: returned a tuple of 2
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A tuple."""

    name: Literal["returns_tuple"] = "returns_tuple"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):  # refused here
        return x, x.mean()
