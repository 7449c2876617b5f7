"""Randomness: numpy's global numbers.

refused: draws random numbers of numpy
"""

from typing import Literal

import numpy as np
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Numpy's global numbers."""

    name: Literal["random_numpy"] = "random_numpy"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):  # refused here
        return x * float(np.random.uniform(0.5, 1.5)) if self.training else x
