"""Counters: an object that is called, as a schedule is.

refused: changes `self.schedule` (Schedule)
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


class Schedule:
    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return 1.0 if self.calls < 50 else 0.5


@NORMS.add
class Mine(Normalization):
    """An object that is called, as a schedule is."""

    name: Literal["counter_object"] = "counter_object"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.schedule = Schedule()

    def forward(self, x):
        return x.tanh() * self.schedule()  # refused here
