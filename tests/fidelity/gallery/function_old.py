"""Autograd functions: the old style, with ctx in forward.

exact: looped
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


class Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sign()

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * (x.abs() <= 1)


@NORMS.add
class Mine(Normalization):
    """The old style, with ctx in forward."""

    name: Literal["function_old"] = "function_old"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):
        return Sign.apply(x)
