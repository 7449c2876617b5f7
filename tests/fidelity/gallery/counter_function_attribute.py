"""Counters: an attribute of a function.

refused: 'share' of counter_function_attribute.py
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


def share():
    share.calls += 1
    return 1.0 if share.calls < 10_000 else 0.5


share.calls = 0


@NORMS.add
class Mine(Normalization):
    """An attribute of a function."""

    name: Literal["counter_function_attribute"] = "counter_function_attribute"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):  # refused here
        return x.tanh() * share()
