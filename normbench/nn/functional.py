"""Tensor operations for one run that also serve, under `torch.vmap`, a stack of runs by batched kernels.

Each is a `torch.autograd.Function` that counts dimensions from the end, so that it accepts a leading run
axis; its `vmap` rule only moves this axis to the front. Layers use them for one run and need not know about
stacks. The backward passes are explicit, with half the operations of those that autograd records. They can
be differentiated once; inside `second_derivatives` the functions use torch's own operations instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from normbench.nn.torch_private import batch_norm_backward

_second_derivative: ContextVar[bool] = ContextVar("second_derivative", default=False)


@contextmanager
def second_derivatives() -> Iterator[None]:
    """Make the functions of this module use operations with second derivatives (for curvature)."""
    token = _second_derivative.set(True)
    try:
        yield
    finally:
        _second_derivative.reset(token)


def needs_second_derivative() -> bool:
    """Return whether the code runs inside `second_derivatives`."""
    return _second_derivative.get()


def _front(value: Any, dim: int | None, runs: int) -> Any:
    """Return the value with the run axis in front; a value without one is expanded, not copied."""
    if not isinstance(value, Tensor):
        return value
    return value.expand(runs, *value.shape) if dim is None else value.movedim(dim, 0)


class Stackable(torch.autograd.Function):
    """A function whose forward and backward passes accept a leading run axis."""

    outputs: int | None = None  # number of outputs, if more than one

    @classmethod
    def vmap(cls, info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Any, Any]:
        """Apply the function to the stacked tensors."""
        stacked = [_front(value, dim, info.batch_size) for value, dim in zip(args, in_dims, strict=True)]
        return cls.apply(*stacked), 0 if cls.outputs is None else (0,) * cls.outputs


class _Linear(Stackable):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if weight.dim() == 2:
            return torch.nn.functional.linear(x, weight, bias)
        if bias is None:
            return torch.bmm(x, weight.mT)
        return torch.baddbmm(bias.unsqueeze(-2), x, weight.mT)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, bias = inputs
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad_x = grad @ weight if ctx.needs_input_grad[0] else None
        return grad_x, grad.mT @ x, grad.sum(-2) if ctx.has_bias else None


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return y = x W' + b, (B, O), for x (B, I), W (O, I), b (O,); a stack takes one batched product."""
    if needs_second_derivative():
        return F.linear(x, weight, bias)
    return _Linear.apply(x, weight, bias)


class _WeightNormLinear(Stackable):
    """y = (g / ||v||) v.x + b; also returns v.x and ||v|| for the backward pass.

    It scales the outputs, not the weights, and one matrix product accumulates the gradient of v. So the
    gradient is the only tensor as large as the weights that is written.
    """

    outputs = 3

    @staticmethod
    def forward(x: Tensor, weight: Tensor, gain: Tensor, bias: Tensor | None) -> tuple[Tensor, ...]:
        norm = torch.linalg.vector_norm(weight, dim=-1)  # (..., O)
        t = _Linear.forward(x, weight, None)  # (..., B, O)
        scale = (gain / norm).unsqueeze(-2)
        return t * scale if bias is None else torch.addcmul(bias.unsqueeze(-2), t, scale), t, norm

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, weight, gain, bias = inputs
        ctx.save_for_backward(x, weight, gain, *output[1:])
        ctx.has_bias = bias is not None
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, weight, gain, t, norm = ctx.saved_tensors
        scale = gain / norm
        grad_gain = (grad * t).sum(-2) / norm
        grad_t = grad * scale.unsqueeze(-2)
        grad_x = grad_t @ weight if ctx.needs_input_grad[0] else None
        # dv = (g / ||v||) (dw - (dw.v / ||v||^2) v), and dw.v = sum over the batch of dy (v.x) = ||v|| dg
        along = weight * (grad_gain * scale / -norm).unsqueeze(-1)
        add_product = torch.addmm if weight.dim() == 2 else torch.baddbmm
        grad_weight = add_product(along, grad_t.mT, x)
        return grad_x, grad_weight, grad_gain, grad.sum(-2) if ctx.has_bias else None


def weight_norm_linear(x: Tensor, weight: Tensor, gain: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return y = (g / ||v||) v.x + b (Salimans & Kingma 2016, arXiv:1602.07868).

    Args:
        x: inputs (B, I).
        weight: v (O, I); ||v|| is the norm of each row.
        gain: g (O,).
        bias: b (O,), or None.

    Returns:
        y (B, O).
    """
    if needs_second_derivative():
        t = F.linear(x, weight) * (gain / weight.square().sum(-1).sqrt())
        return t if bias is None else t + bias
    return _WeightNormLinear.apply(x, weight, gain, bias)[0]


class _BatchNorm(Stackable):
    """Standardizes x (..., B, F) over B; also returns mean, biased variance and two saved tensors."""

    outputs = 5

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
        mean = x.mean(-2, keepdim=True)
        xhat = x - mean
        # torch.var_mean over a middle dimension is 20 times slower than these two passes on a CPU
        var = (xhat * xhat).mean(-2, keepdim=True)
        scale = torch.rsqrt(var + eps)
        xhat = xhat.mul_(scale)
        y = torch.addcmul(bias.unsqueeze(-2), xhat, weight.unsqueeze(-2))
        return y, mean.squeeze(-2), var.squeeze(-2), xhat, scale

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.save_for_backward(inputs[1], output[3], output[4])
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        weight, xhat, scale = ctx.saved_tensors
        count = grad.shape[-2]
        grad_bias = grad.sum(-2, keepdim=True)
        grad_weight = (grad * xhat).sum(-2, keepdim=True)
        # dx = gamma / sqrt(var + eps) (dy - mean(dy) - xhat mean(dy xhat))
        centered = torch.addcmul(grad - grad_bias / count, xhat, grad_weight, value=-1 / count)
        grad_x = centered.mul_(scale * weight.unsqueeze(-2))
        return grad_x, grad_weight.squeeze(-2), grad_bias.squeeze(-2), None


class _BatchNormImages(torch.autograd.Function):
    """The same for images (B, C, H, W): one run uses torch's fused kernel, a stack rows of pixels."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
        y, mean, scale = torch.native_batch_norm(x, weight, bias, None, None, True, 0.0, eps)
        return y, mean, (scale.pow(-2) - eps).clamp_min(0.0), scale

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, weight, _, ctx.eps = inputs
        ctx.save_for_backward(x, weight, output[1], output[3])
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale = ctx.saved_tensors
        grads = batch_norm_backward(
            grad, x, weight, None, None, mean, scale, True, ctx.eps, [True, True, True]
        )
        return (*grads, None)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Any, Any]:
        x, weight, bias = (_front(args[i], in_dims[i], info.batch_size) for i in range(3))
        runs, batch, channels, height, width = x.shape
        rows = x.movedim(2, -1).reshape(runs, batch * height * width, channels)
        y, mean, var, _, scale = _BatchNorm.apply(rows, weight, bias, args[3])
        y = y.view(runs, batch, height, width, channels).movedim(-1, 2)
        return (y, mean, var, scale.squeeze(-2)), (0, 0, 0, 0)


def batch_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return y = gamma (x - mean) / sqrt(var + eps) + beta (Ioffe & Szegedy 2015, arXiv:1502.03167).

    Args:
        x: inputs (B, F) or (B, F, H, W).
        weight: gamma (F,).
        bias: beta (F,).
        eps: added to the variance.

    Returns:
        y, with the shape of x, and the mean and the biased variance over the batch and the pixels, (F,)
        each. Mean and variance carry no gradient.
    """
    if needs_second_derivative():
        return _plain_batch_norm(x, weight, bias, eps)
    function = _BatchNorm if x.dim() == 2 else _BatchNormImages
    y, mean, var, *_ = function.apply(x, weight, bias, eps)
    return y, mean, var


def _plain_batch_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the same as `batch_norm` by operations that can be differentiated repeatedly."""
    over = (0, *range(2, x.dim()))
    shape = (-1, *[1] * (x.dim() - 2))
    mean = x.mean(over, keepdim=True)
    var = (x - mean).square().mean(over, keepdim=True)
    y = (x - mean) * torch.rsqrt(var + eps) * weight.view(shape) + bias.view(shape)
    return y, mean.detach().flatten(), var.detach().flatten()


def batch_norm_steps(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the batch normalization of each step of a sequence, with statistics of each step.

    Args:
        x: inputs (T, B, F).
        weight: gamma (F,), shared by the steps.
        bias: beta (F,), shared by the steps.
        eps: added to the variance.

    Returns:
        y (T, B, F), and mean and biased variance of each step, (T, F) each, which carry no gradient.
    """
    steps = len(x)
    if needs_second_derivative():
        parts = [_plain_batch_norm(step, weight, bias, eps) for step in x.unbind(0)]
        y, mean, var = (torch.stack(values) for values in zip(*parts, strict=True))
        return y, mean, var
    y, mean, var, *_ = _BatchNorm.apply(x, weight.expand(steps, -1), bias.expand(steps, -1), eps)
    return y, mean, var


class _InverseSqrt(Stackable):
    """S^(-1/2) of symmetric S (..., G, G); also returns two tensors for the backward pass."""

    outputs = 3

    @staticmethod
    def forward(sigma: Tensor, floor: float) -> tuple[Tensor, ...]:
        # LAPACK raises if a number is not finite, which would end the whole stack. For a run that has
        # diverged, decompose the identity instead and return NaN.
        finite = sigma.isfinite().all(-1, keepdim=True).all(-2, keepdim=True)
        eye = torch.eye(sigma.shape[-1], dtype=sigma.dtype, device=sigma.device)
        values, vectors = torch.linalg.eigh(torch.where(finite, sigma, eye))
        root = torch.rsqrt(values.clamp_min(floor))  # (..., G)
        inverse = (vectors * root.unsqueeze(-2)) @ vectors.mT
        return torch.where(finite, inverse, float("nan")), root, vectors

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.save_for_backward(*output[1:])
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        root, vectors = ctx.saved_tensors
        p, q = root.unsqueeze(-1), root.unsqueeze(-2)
        # (f(a) - f(b)) / (a - b) for f(l) = l^(-1/2), p = f(a), q = f(b), in a form that is finite at a = b
        slope = -(p * q).square() / (p + q)
        inner = vectors.mT @ ((grad + grad.mT) / 2) @ vectors
        return vectors @ (slope * inner) @ vectors.mT, None


def inverse_sqrt(sigma: Tensor, floor: float) -> Tensor:
    """Return S^(-1/2) = U diag(max(l, floor))^(-1/2) U' for symmetric S = U diag(l) U', (..., G, G).

    The gradient is that of a matrix function (Daleckii & Krein 1965), which is finite for every S. The
    eigenvectors themselves are not differentiable where eigenvalues coincide.
    """
    return _InverseSqrt.apply(sigma, floor)[0]


class _CrossEntropy(Stackable):
    """The loss of each run; its gradient is (softmax(logits) - one-hot label) / batch size."""

    outputs = 2

    @staticmethod
    def forward(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        shifted = logits - logits.amax(-1, keepdim=True)
        of_label = shifted.gather(-1, labels.unsqueeze(-1))
        shares = shifted.exp_()
        total = shares.sum(-1, keepdim=True)
        return (total.log() - of_label).mean((-2, -1)), shares.div_(total)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.save_for_backward(inputs[1], output[1])
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor, None]:
        labels, shares = ctx.saved_tensors
        ours = labels.unsqueeze(-1)
        gap = shares.scatter_add(-1, ours, shares.new_full((), -1.0).expand(ours.shape))
        return gap.mul_((grad / shares.shape[-2])[..., None, None]), None


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean of -log softmax(logits)[label] over the batch, in nats; logits (B, K), labels (B,)."""
    if needs_second_derivative():
        return -F.log_softmax(logits, -1).gather(-1, labels.unsqueeze(-1)).mean()
    return _CrossEntropy.apply(logits, labels)[0]
