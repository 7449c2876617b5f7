"""Randomness: a new generator of numpy in each pass.

refused: two trainings with the same seed differ
"""

from typing import Literal

import numpy as np
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A new generator of numpy in each pass."""

    name: Literal["random_new_generator"] = "random_new_generator"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):  # refused here
        return x * np.random.default_rng().uniform(0.5, 1.5)
