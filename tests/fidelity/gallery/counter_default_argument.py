"""Counters: a list that is the default of an argument.

refused: 'share' of class Layer changes
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A list that is the default of an argument."""

    name: Literal["counter_default_argument"] = "counter_default_argument"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def share(self, calls=[0]):  # noqa: B006
        calls[0] += 1
        return 1.0 if calls[0] < 10_000 else 0.5

    def forward(self, x):  # refused here
        return x.tanh() * self.share()
