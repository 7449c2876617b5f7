"""Attributes: a running mean as a plain tensor, updated in place.

refused: changes `self.running` (tensor)
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A running mean as a plain tensor, updated in place."""

    name: Literal["attribute_in_place"] = "attribute_in_place"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.running = torch.zeros(features)

    def forward(self, x):
        if self.training:
            self.running.lerp_(x.detach().mean(0).to(self.running.dtype), 0.1)  # refused here
        return x - self.running.to(x.dtype)
