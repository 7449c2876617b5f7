"""Parameters: one without use.

refused: the parameter 'hidden.0.norm.offset' has no effect on the loss
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """One without use."""

    name: Literal["unused_parameter"] = "unused_parameter"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(features))
        self.offset = nn.Parameter(torch.ones(features))  # refused here

    def forward(self, x):
        return x.tanh() * self.gain
