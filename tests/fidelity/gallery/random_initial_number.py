"""Randomness: a plain number of each net, so that runs would share it.

refused: `self.slope` differs between two runs of a stack
"""

import random
from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A plain number of each net, so that runs would share it."""

    name: Literal["random_initial_number"] = "random_initial_number"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.slope = random.uniform(0.1, 0.3)  # refused here

    def forward(self, x):
        return x.tanh() * (1 + self.slope)
