"""Counters: a closure that belongs to the layer.

refused: changes `self.count` (function)
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


def counter():
    calls = []

    def count():
        calls.append(0)
        return len(calls)

    return count


@NORMS.add
class Mine(Normalization):
    """A closure that belongs to the layer."""

    name: Literal["counter_own_closure"] = "counter_own_closure"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.count = counter()

    def forward(self, x):
        return x.tanh() if self.count() < 50 else x  # refused here
