"""Autograd functions: a backward pass that reads a value.

exact: eager
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


class Clip(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.tanh()

    @staticmethod
    def backward(ctx, grad):
        return grad / max(1.0, grad.norm().item())


@NORMS.add
class Mine(Normalization):
    """A backward pass that reads a value."""

    name: Literal["function_reads"] = "function_reads"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):
        return Clip.apply(x)
