"""Types: a gain in float64, from numpy; training converts it.

exact: vectorized
"""

from typing import Literal

import numpy as np
import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A gain in float64, from numpy; training converts it."""

    name: Literal["float64_gain"] = "float64_gain"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(np.linspace(0.5, 1.5, features)))
        self.register_buffer("offset", torch.from_numpy(np.linspace(0, 0.1, features)))

    def forward(self, x):
        return x.tanh() * self.gain + self.offset
