"""Activations: an own one with a parameter.

exact: vectorized
"""

import torch
from torch import nn

from normbench.nn.layers import ACTIVATIONS


@ACTIVATIONS.add("activation_parameter")
class SquarePlus(nn.Module):
    """Squareplus with a learned bend."""

    def __init__(self):
        super().__init__()
        self.bend = nn.Parameter(torch.tensor(4.0))

    def forward(self, x):
        return (x + (x * x + self.bend).sqrt()) / 2
