"""Randomness: only in the backward pass.

refused: draws random numbers of torch in the backward pass
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


class Noise(torch.autograd.Function):
    @staticmethod
    def forward(x):
        return x.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, grad):
        return grad + 0.01 * torch.randn_like(grad)


@NORMS.add
class Mine(Normalization):
    """Only in the backward pass."""

    name: Literal["random_backward"] = "random_backward"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):  # refused here
        return Noise.apply(x)
