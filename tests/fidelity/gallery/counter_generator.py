"""Counters: a generator function that yields a schedule.

refused: changes `self.factors` (generator)
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


def falling():
    factor = 1.0
    while True:
        yield max(factor, 0.5)
        factor -= 1e-12


@NORMS.add
class Mine(Normalization):
    """A generator function that yields a schedule."""

    name: Literal["counter_generator"] = "counter_generator"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.factors = falling()

    def forward(self, x):
        return x.tanh() * next(self.factors)  # refused here
