"""Names: a gain `weight` of two dimensions, which `model.init` must leave alone.

exact: vectorized
"""

from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A gain `weight` of two dimensions, which `model.init` must leave alone."""

    name: Literal["gain_named_weight"] = "gain_named_weight"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, features))
        self.bias = nn.Parameter(torch.zeros(1, features))

    def forward(self, x):
        return F.layer_norm(x, x.shape[1:]) * self.weight + self.bias
