"""Initialization from data: `initialize` keeps a tensor that is no buffer, so that runs would share it.

refused: `self.shift` differs between two runs of a stack
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """`initialize` keeps a tensor that is no buffer, so that runs would share it."""

    name: Literal["initialize_attribute"] = "initialize_attribute"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.shift = 0.0

    def initialize(self, x):
        self.shift = x.mean(0)  # refused here

    def forward(self, x):
        return x - self.shift
