"""Randomness: a method of a tensor.

refused: a layer calls torch's 'bernoulli_'
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A method of a tensor."""

    name: Literal["random_in_place"] = "random_in_place"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):
        return x * torch.empty_like(x).bernoulli_(0.5)  # refused here
