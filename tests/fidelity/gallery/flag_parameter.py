"""Initialization from data: parameters that `forward` sets.

refused: `forward` changes the parameter 'hidden.0.norm.scale'
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Parameters that `forward` sets."""

    name: Literal["flag_parameter"] = "flag_parameter"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(features))
        self.register_buffer("ready", torch.tensor(0, dtype=torch.uint8))

    def forward(self, x):
        if self.ready.item() == 0:
            self.scale.data.copy_(1 / (x.std(0) + 1e-6))  # refused here
            self.ready.fill_(1)
        return x * self.scale
