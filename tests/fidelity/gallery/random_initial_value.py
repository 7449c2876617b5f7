"""Randomness: numpy while the layer is made; the run's seed decides.

exact: vectorized
"""

from typing import Literal

import numpy as np
import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Numpy while the layer is made; the run's seed decides."""

    name: Literal["random_initial_value"] = "random_initial_value"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(np.random.uniform(0.5, 1.5, features)))

    def forward(self, x):
        return x.tanh() * self.gain
