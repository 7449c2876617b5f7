"""Counters: a forward hook with a counter.

refused: changes `self._forward_hooks`
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


def counting():
    calls = [0]

    def hook(module, inputs, output):
        calls[0] += 1
        return output if calls[0] < 50 else output / 2

    return hook


@NORMS.add
class Mine(Normalization):
    """A forward hook with a counter."""

    name: Literal["counter_hook"] = "counter_hook"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.act = nn.Tanh()
        self.register_forward_hook(counting())

    def forward(self, x):  # refused here
        return self.act(x)
