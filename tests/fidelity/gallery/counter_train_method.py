"""Counters: `train` is called once an epoch in many a script, and counts here.

refused: changes `self.epochs` (int)
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """`train` is called once an epoch in many a script, and counts here."""

    name: Literal["counter_train_method"] = "counter_train_method"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.epochs = 0

    def train(self, mode=True):
        self.epochs += mode  # refused here
        return super().train(mode)

    def forward(self, x):
        return x.tanh() if self.epochs < 50 else x
