"""Counters: a variable of a closure.

refused: 'count' of counter_closure.py
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


def counter():
    calls = 0

    def count():
        nonlocal calls
        calls += 1
        return calls

    return count


count = counter()


@NORMS.add
class Mine(Normalization):
    """A variable of a closure."""

    name: Literal["counter_closure"] = "counter_closure"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):  # refused here
        return x.tanh() if count() < 10_000 else x
