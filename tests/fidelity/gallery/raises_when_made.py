"""Errors: an exception in __init__.

refused: ZeroDivisionError
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """An exception in __init__."""

    name: Literal["raises_when_made"] = "raises_when_made"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.share = 1 / (features - features)  # refused here

    def forward(self, x):
        return x * self.share
