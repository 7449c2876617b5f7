"""Counters: each layer gets its number from the class.

refused: `self.index` differs between two nets of one seed
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Each layer gets its number from the class."""

    name: Literal["count_of_layers"] = "count_of_layers"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    made = 0

    def __init__(self, features):
        super().__init__()
        Layer.made += 1
        self.index = Layer.made  # refused here

    def forward(self, x):
        return x.tanh() / self.index
