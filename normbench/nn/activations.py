"""Sigmoid, ELU, SELU and GELU with equal bits in every stack.

torch's CPU kernels of these functions use another routine for the elements that do not fill a vector
register, with results that differ in the last bit. Which elements these are depends on the size of the stack,
and results must not depend on it. The operations below are the same at every position.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from normbench.nn.functional import Stackable, needs_second_derivative
from normbench.nn.torch_private import sigmoid_backward

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
_ROOT_HALF, _PDF_AT_0 = 0.7071067811865476, 0.3989422804014327  # sqrt(1/2), 1/sqrt(2 pi)


class _Sigmoid(Stackable):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.neg().exp_().add_(1).reciprocal_()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return sigmoid_backward(grad, y)


def sigmoid(x: Tensor) -> Tensor:
    """Return y = 1 / (1 + e^-x)."""
    return torch.sigmoid(x) if needs_second_derivative() else _Sigmoid.apply(x)


class _Elu(Stackable):
    @staticmethod
    def forward(x: Tensor, alpha: float, scale: float) -> Tensor:
        return torch.where(x > 0, x * scale, x.expm1().mul_(alpha * scale))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, ctx.alpha, ctx.scale = inputs
        ctx.save_for_backward(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        slope = torch.where(x > 0, ctx.scale, x.exp().mul_(ctx.alpha * ctx.scale))
        return slope.mul_(grad), None, None


def elu(x: Tensor, alpha: float = 1.0, scale: float = 1.0) -> Tensor:
    """Return y = scale (x if x > 0 else alpha (e^x - 1)), ELU (arXiv:1511.07289) or SELU."""
    if needs_second_derivative():
        return torch.where(x > 0, x * scale, torch.expm1(x.clamp(max=0)) * (alpha * scale))
    return _Elu.apply(x, alpha, scale)


class _Gelu(Stackable):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return (x * _ROOT_HALF).erf_().add_(1).mul_(x).mul_(0.5)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        cdf = (x * _ROOT_HALF).erf_().add_(1).mul_(0.5)
        pdf = (x * x).mul_(-0.5).exp_().mul_(_PDF_AT_0)
        return pdf.mul_(x).add_(cdf).mul_(grad)


def gelu(x: Tensor) -> Tensor:
    """Return y = x P(z <= x), z standard normal (Hendrycks & Gimpel 2016, arXiv:1606.08415)."""
    return F.gelu(x) if needs_second_derivative() else _Gelu.apply(x)
