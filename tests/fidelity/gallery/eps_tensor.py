"""Constants: a 0-dimensional tensor as a plain attribute.

exact: vectorized
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A 0-dimensional tensor as a plain attribute."""

    name: Literal["eps_tensor"] = "eps_tensor"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.eps = torch.tensor(1e-3)

    def forward(self, x):
        return x / (x.square().mean(1, keepdim=True) + self.eps).sqrt()
