"""Attributes: a running mean as a plain tensor, bound to a new one.

refused: changes `self.running` (tensor)
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A running mean as a plain tensor, bound to a new one."""

    name: Literal["attribute_running"] = "attribute_running"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.running = torch.zeros(features)

    def forward(self, x):
        if not self.training:
            return x - self.running
        mean = x.mean(0)
        self.running = 0.9 * self.running + 0.1 * mean.detach()  # refused here
        return x - mean
