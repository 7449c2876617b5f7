"""Randomness: an own generator of numpy.

refused: changes `self.rng` (Generator)
"""

from typing import Literal

import numpy as np
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """An own generator of numpy."""

    name: Literal["random_numpy_generator"] = "random_numpy_generator"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.rng = np.random.default_rng(0)

    def forward(self, x):
        return x * self.rng.uniform(0.5, 1.5)  # refused here
