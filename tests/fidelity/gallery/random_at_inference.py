"""Randomness: only at inference.

refused: a layer calls torch's 'randn'
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Only at inference."""

    name: Literal["random_at_inference"] = "random_at_inference"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):
        return x.tanh() if self.training else x + torch.randn(x.shape, dtype=x.dtype)  # refused here
