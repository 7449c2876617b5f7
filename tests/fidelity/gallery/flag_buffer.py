"""Initialization from data: a flag that is a buffer; the buffers that it guards are right.

exact: eager
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A flag that is a buffer; the buffers that it guards are right."""

    name: Literal["flag_buffer"] = "flag_buffer"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.register_buffer("ready", torch.tensor(False))
        self.register_buffer("shift", torch.zeros(features))

    def forward(self, x):
        if self.training and not self.ready.item():
            self.shift.copy_(x.detach().mean(0))
            self.ready.fill_(True)
        return x - self.shift
