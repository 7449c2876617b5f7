"""Writes: the layer changes its input, which the layer before it made.

exact: vectorized
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """The layer changes its input, which the layer before it made."""

    name: Literal["changes_input"] = "changes_input"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):
        return x.sub_(x.mean(1, keepdim=True))
