"""A linear or convolution layer whose weights a normalization rewrites before they are used."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normbench.nn import functional


class Wrapped(nn.Module):
    """Takes over `weight` (out, in, ...) and `bias` of a layer under the same names.

    So the weights start from the same numbers as the plain net's. A subclass says in `forward` what becomes
    of them, and calls `product`; if they are rewritten, it also has `effective()`, the weights that multiply
    the inputs, and `turns` says that these do not depend on the scale of `weight`.
    """

    turns = False

    weight: Tensor
    bias: Tensor | None

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        assert isinstance(layer, (nn.Linear, nn.Conv2d))
        self.weight = nn.Parameter(layer.weight.detach().clone())
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach().clone())
        if isinstance(layer, nn.Conv2d):
            self.stride, self.padding = layer.stride, layer.padding

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return what the layer makes of x with these weights: (B, out) or (B, out, H, W)."""
        if weight.dim() == 2:
            return functional.linear(x, weight, bias)
        return F.conv2d(x, weight, bias, self.stride, self.padding)

    def standardised(self, eps: float) -> Tensor:
        """Return (w - mean) / sqrt(var + eps), mean and variance over the inputs of each unit."""
        rows = self.weight.flatten(1)  # (out, in)
        centred = rows - rows.mean(-1, keepdim=True)
        scale = torch.rsqrt((centred * centred).mean(-1, keepdim=True) + eps)
        return (centred * scale).view_as(self.weight)
