"""Initialization from data: a flag in Python.

refused: sets the flag `self.ready` in `forward`
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A flag in Python."""

    name: Literal["flag_first_batch"] = "flag_first_batch"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ready = False
        self.register_buffer("shift", torch.zeros(features))

    def forward(self, x):
        if not self.ready:
            self.shift.copy_(x.detach().mean(0))
            self.ready = True  # refused here
        return x - self.shift
