"""Randomness: Python's global numbers.

refused: draws random numbers of random
"""

import random
from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Python's global numbers."""

    name: Literal["random_python"] = "random_python"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):  # refused here
        return x * random.uniform(0.5, 1.5) if self.training else x
