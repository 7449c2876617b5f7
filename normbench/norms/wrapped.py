"""Base of the layers whose weights a normalization computes from other weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normbench.nn import functional


class Wrapped(nn.Module):
    """Replaces a linear or convolution layer; keeps its `weight` (out, in, ...) and `bias` by name.

    The weights therefore start from the same numbers as those of the plain net. A subclass defines `forward`
    by means of `product`. If it rewrites the weights, it also defines `effective()`, the weights that
    multiply the inputs.

    Attributes:
        scale_invariant: whether `effective()` ignores the scale of `weight`.
        takes_init: `model.init` draws `weight` and `bias`.
    """

    scale_invariant = False
    takes_init = True

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
        """Return the outputs (B, out) or (B, out, H, W) for x with these weights."""
        if weight.dim() == 2:
            return functional.linear(x, weight, bias)
        return F.conv2d(x, weight, bias, self.stride, self.padding)

    def standardized(self, eps: float) -> Tensor:
        """Return (w - mean) / sqrt(var + eps), with mean and variance over the inputs of each unit."""
        rows = self.weight.flatten(1)  # (out, in)
        centered = rows - rows.mean(-1, keepdim=True)
        scale = torch.rsqrt((centered * centered).mean(-1, keepdim=True) + eps)
        return (centered * scale).view_as(self.weight)
