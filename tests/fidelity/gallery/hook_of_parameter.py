"""Hooks: the gradient of a parameter is clipped by a hook that acts rarely.

refused: has a hook
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """The gradient of a parameter is clipped by a hook that acts rarely."""

    name: Literal["hook_of_parameter"] = "hook_of_parameter"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(features))
        self.gain.register_hook(lambda grad: grad.clamp(-100, 100))  # refused here

    def forward(self, x):
        return x.tanh() * self.gain
