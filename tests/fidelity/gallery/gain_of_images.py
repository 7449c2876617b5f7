"""Names: filter response normalization with `weight` of shape (1, C, 1, 1).

exact: looped
net: cnn
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Filter response normalization with `weight` of shape (1, C, 1, 1)."""

    name: Literal["gain_of_images"] = "gain_of_images"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, features, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, features, 1, 1))
        self.tau = nn.Parameter(torch.zeros(1, features, 1, 1))
        self.eps = nn.Parameter(torch.tensor(1e-6))

    def forward(self, x):
        y = x * torch.rsqrt(x.square().mean((2, 3), keepdim=True) + self.eps.abs())
        return torch.maximum(self.weight * y + self.bias, self.tau)
