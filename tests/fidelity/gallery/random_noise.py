"""Randomness: noise by torch.randn_like.

refused: a layer calls torch's 'randn_like'
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Noise by torch.randn_like."""

    name: Literal["random_noise"] = "random_noise"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):
        return x + 0.1 * torch.randn_like(x)  # refused here
