"""Errors: an exception at inference.

refused: AttributeError
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """An exception at inference."""

    name: Literal["raises_at_inference"] = "raises_at_inference"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):
        return x.tanh() if self.training else x * self.gain  # refused here
