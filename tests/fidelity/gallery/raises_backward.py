"""Errors: an exception in the backward pass.

refused: ValueError: no gradient
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


class Broken(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.tanh()

    @staticmethod
    def backward(ctx, grad):
        raise ValueError("no gradient")  # refused here


@NORMS.add
class Mine(Normalization):
    """An exception in the backward pass."""

    name: Literal["raises_backward"] = "raises_backward"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):
        return Broken.apply(x)
