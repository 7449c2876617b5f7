"""Counters: an object with slots.

refused: changes `self.clock` (Clock)
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


class Clock:
    __slots__ = ("ticks",)

    def __init__(self):
        self.ticks = 0


@NORMS.add
class Mine(Normalization):
    """An object with slots."""

    name: Literal["counter_slots"] = "counter_slots"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.clock = Clock()

    def forward(self, x):
        self.clock.ticks += 1  # refused here
        return x.tanh() if self.clock.ticks < 50 else x
