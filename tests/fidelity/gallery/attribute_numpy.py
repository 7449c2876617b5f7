"""Attributes: a running mean as an array of numpy.

refused: changes `self.running` (ndarray)
"""

from typing import Literal

import numpy as np
import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A running mean as an array of numpy."""

    name: Literal["attribute_numpy"] = "attribute_numpy"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.running = np.zeros(features)

    def forward(self, x):
        if self.training:
            self.running += 0.1 * (x.detach().mean(0).numpy() - self.running)  # refused here
        return x - torch.as_tensor(self.running, dtype=x.dtype)
