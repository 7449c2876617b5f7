"""Randomness: gumbel_softmax, which draws inside.

refused: draws random numbers of torch
"""

from typing import Literal

from torch import nn
from torch.nn import functional as F

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Gumbel_softmax, which draws inside."""

    name: Literal["random_gumbel"] = "random_gumbel"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):  # refused here
        return F.gumbel_softmax(x, dim=-1)
