"""Counters: an iterator of numbers.

refused: changes `self.numbers` (count)
"""

import itertools
from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """An iterator of numbers."""

    name: Literal["counter_iterator"] = "counter_iterator"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.numbers = itertools.count()

    def forward(self, x):
        return x.tanh() if next(self.numbers) < 50 else x  # refused here
