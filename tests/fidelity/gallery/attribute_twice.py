"""Attributes: a tensor that is bound twice in each pass and read late.

refused: changes `self.running` (tensor)
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A tensor that is bound twice in each pass and read late."""

    name: Literal["attribute_twice"] = "attribute_twice"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.running = torch.zeros(features)

    def note(self, x):
        self.running = 0.9 * self.running.to(x.dtype) + 0.1 * x.detach().mean(0)  # refused here

    def forward(self, x):
        self.note(x)
        self.note(x)
        return x.tanh() - self.running * (self.running > 1e-6)
