"""The layer of each normalization in torch.nn, or its formula: the references of the tests.

Parameters and buffers have the names and shapes of ours. Autograd differentiates everything that the formula
does not define as constant. `FEATURES` suits all normalizations.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from normbench.norms.scaled_weight_standardization import gain

FEATURES = 8


def column(value: Tensor, x: Tensor) -> Tensor:
    """(F,) in a shape that broadcasts with (B, F) or (B, F, H, W)."""
    return value.view(1, -1, *[1] * (x.dim() - 2))


def over_batch(x: Tensor) -> tuple[int, ...]:
    return (0, *range(2, x.dim()))


class Plain(nn.Module):
    """Gamma, beta and the running statistics of the formulas below."""

    def __init__(self, features: int, *names: str, **buffers: Tensor) -> None:
        super().__init__()
        for name in names:
            start = torch.ones(features) if name == "weight" else torch.zeros(features)
            self.register_parameter(name, nn.Parameter(start))
        for name, value in buffers.items():
            self.register_buffer(name, value)

    def affine(self, xhat: Tensor) -> Tensor:
        return xhat * column(self.weight, xhat) + column(self.bias, xhat)

    def average(self, name: str, value: Tensor, momentum: float) -> None:
        setattr(self, name, (1 - momentum) * getattr(self, name) + momentum * value.detach())


class PlainMeanOnly(Plain):
    def __init__(self, features: int) -> None:
        super().__init__(features, "bias", running_mean=torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x - column(self.running_mean, x) + column(self.bias, x)
        mean = x.mean(over_batch(x))
        self.average("running_mean", mean, 0.1)
        return x - column(mean, x) + column(self.bias, x)


class PlainRMSNorm(Plain):
    def __init__(self, features: int) -> None:
        super().__init__(features, "weight")

    def forward(self, x: Tensor) -> Tensor:
        mean_square = (x**2).mean(tuple(range(1, x.dim())), keepdim=True)
        return x / (mean_square + 1e-5).sqrt() * column(self.weight, x)


class PlainDynamicTanh(Plain):
    def __init__(self, features: int) -> None:
        super().__init__(features, "weight", "bias")
        self.alpha = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.affine(torch.tanh(self.alpha * x))


class PlainBatchRenorm(Plain):
    def __init__(self, features: int, plain: int = 100, r_until: int = 800, d_until: int = 500) -> None:
        super().__init__(
            features,
            "weight",
            "bias",
            running_mean=torch.zeros(features),
            running_std=torch.ones(features),
            steps=torch.zeros(()),
        )
        self.schedule = plain, r_until, d_until

    def forward(self, x: Tensor) -> Tensor:
        running_mean, running_std = column(self.running_mean, x), column(self.running_std, x)
        if not self.training:
            return self.affine((x - running_mean) / running_std)
        mean = x.mean(over_batch(x), keepdim=True)
        std = (((x - mean) ** 2).mean(over_batch(x), keepdim=True) + 1e-5).sqrt()
        step, (plain, r_until, d_until) = int(self.steps), self.schedule
        r_max = 1 + 2 * min(1.0, max(0.0, (step - plain) / (r_until - plain)))
        d_max = 5 * min(1.0, max(0.0, (step - plain) / (d_until - plain)))
        r = (std / running_std).clamp(1 / r_max, r_max).detach()
        d = ((mean - running_mean) / running_std).clamp(-d_max, d_max).detach()
        self.average("running_mean", mean.flatten(), 0.05)
        self.average("running_std", std.flatten(), 0.05)
        self.steps += 1
        return self.affine((x - mean) / std * r + d)


class PlainWhitening(Plain):
    """Group by group, with the exact inverse root or with Newton's iteration as in the paper."""

    def __init__(self, features: int, newton: bool, most: int) -> None:
        self.size = next(size for size in range(most, 0, -1) if features % size == 0)
        matrix = torch.eye(self.size).repeat(features // self.size, 1, 1)
        super().__init__(
            features, "weight", "bias", running_mean=torch.zeros(features), running_matrix=matrix
        )
        self.newton = newton

    def matrix(self, sigma: Tensor) -> Tensor:
        p, scaled = torch.eye(self.size, dtype=sigma.dtype), sigma / sigma.trace()
        if not self.newton:  # the exact root: the stable coupled iteration, until it has converged
            q = scaled
            for _ in range(40):
                step = (3 * torch.eye(self.size, dtype=sigma.dtype) - p @ q) / 2
                p, q = step @ p, q @ step
            return p / sigma.trace().sqrt()
        for _ in range(5):
            p = (3 * p - torch.linalg.matrix_power(p, 3) @ scaled) / 2
        return p / sigma.trace().sqrt()

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(over_batch(x)) if self.training else self.running_mean
        centered = (x - column(mean, x)).movedim(1, 0).flatten(1)  # (F, n)
        groups = centered.split(self.size)
        matrices = list(self.running_matrix)
        if self.training:
            eye = torch.eye(self.size, dtype=x.dtype)
            matrices = [self.matrix(g @ g.T / g.shape[1] + 1e-3 * eye) for g in groups]
            self.average("running_mean", mean, 0.1)
            self.average("running_matrix", torch.stack(matrices), 0.1)
        white = torch.cat([matrix @ group for matrix, group in zip(matrices, groups, strict=True)])
        return self.affine(white.view(x.movedim(1, 0).shape).movedim(0, 1))


class PlainStandardized(nn.Module):
    """Weight standardization of a torch layer, or with `scaled` scaled weight standardization."""

    def __init__(self, layer: nn.Module, scaled: bool) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(layer.weight.detach().clone()), layer.bias
        self.options = (layer.stride, layer.padding) if isinstance(layer, nn.Conv2d) else None
        if scaled:
            self.gain = nn.Parameter(torch.ones(len(self.weight)))

    def forward(self, x: Tensor) -> Tensor:
        dims = tuple(range(1, self.weight.dim()))
        mean = self.weight.mean(dims, keepdim=True)
        variance = self.weight.var(dims, keepdim=True, correction=0)
        if hasattr(self, "gain"):
            inputs = math.prod(self.weight.shape[1:])
            w = (self.weight - mean) / (inputs * (variance + 1e-6)).sqrt()
            w = w * self.gain.view(-1, *[1] * len(dims))
        else:
            w = (self.weight - mean) / (variance + 1e-5).sqrt()
        return F.linear(x, w, self.bias) if self.options is None else F.conv2d(x, w, self.bias, *self.options)


def plain_norm(name: str, features: int, images: bool, options: Any = None) -> nn.Module | None:
    """The normalization layer with default options, except the sizes of groups."""
    if name == "batchnorm":
        return nn.BatchNorm2d(features) if images else nn.BatchNorm1d(features)
    if name == "layernorm":
        return nn.GroupNorm(1, features) if images else nn.LayerNorm(features)
    if name in ("groupnorm", "weight_standardization"):
        return nn.GroupNorm(getattr(options, "groups", 4), features)
    if name == "instancenorm":
        return nn.InstanceNorm2d(features, affine=True)
    if name == "rmsnorm":
        return PlainRMSNorm(features) if images else nn.RMSNorm(features, eps=1e-5)
    if name == "batch_renorm":
        return PlainBatchRenorm(features)
    if name.startswith("whitening"):
        return PlainWhitening(features, "newton" in name, getattr(options, "group_size", 16))
    if name == "dynamic_tanh":
        return PlainDynamicTanh(features)
    return PlainMeanOnly(features) if "mean_only" in name else None


def plain_wrap(name: str, layer: nn.Module, classifier: bool = False) -> nn.Module:
    """The layer that replaces a linear or convolution layer."""
    if name.startswith("weightnorm"):
        return weight_norm(layer)
    if name.endswith("weight_standardization") and not classifier:
        return PlainStandardized(layer, scaled=name.startswith("scaled"))
    return layer


def plain_gain(name: str, activation: nn.Module) -> float:
    """The factor of the activation; other tests check its value."""
    return gain(activation) if name == "scaled_weight_standardization" else 1.0
