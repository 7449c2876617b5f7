"""Errors: an exception in training.

refused: AttributeError
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """An exception in training."""

    name: Literal["raises_in_training"] = "raises_in_training"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):
        return x * self.gain if self.training else x  # refused here
