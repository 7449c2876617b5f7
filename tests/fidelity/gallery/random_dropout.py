"""Randomness: nn.Dropout.

refused: a layer calls torch's 'dropout'
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Nn.Dropout."""

    name: Literal["random_dropout"] = "random_dropout"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(x)  # refused here
