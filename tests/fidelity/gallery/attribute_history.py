"""Attributes: a list of all means.

refused: changes `self.history` (list)
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A list of all means."""

    name: Literal["attribute_history"] = "attribute_history"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.history = []

    def forward(self, x):
        self.history.append(x.detach().mean())  # refused here
        return x.tanh()
