"""Fixup initialisation (Zhang, Dauphin & Ma 2019, arXiv:1901.09321)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from normbench.norms.base import Normalization
from normbench.norms.wrapped import Wrapped


class Fixup(Normalization):
    """Fixup: residual nets without normalization, w *= L^(-1/(2m-2)) at the start, L branches of m layers.

    The last layer of each branch and the classifier start at 0, all others as He. Each layer becomes
    y = a w.(x + b1) + b2 with scalars b1 (before the layer), b2 (before the activation or the sum) and, for
    the last layer of a branch, a; they start at 0, 0 and 1.
    """

    name: Literal["fixup"] = "fixup"

    paper: ClassVar[str] = "Zhang, Dauphin & Ma 2019, arXiv:1901.09321"
    needs_branches: ClassVar[bool] = True

    def wrap(self, layer: nn.Module) -> nn.Module:
        """Return a layer outside of the branches, with scalar biases."""
        return FixupLayer(layer, 1.0, last=False)

    def wrap_in_branch(self, layer: nn.Module, branches: int, layers: int, last: bool) -> nn.Module:
        """Return a layer of a branch; a branch of a single layer has its last alone, which starts at 0."""
        scale = 0.0 if last else branches ** (-1 / (2 * layers - 2))
        return FixupLayer(layer, scale, last)

    def wrap_classifier(self, layer: nn.Module) -> nn.Module:
        """Return the classifier, which starts at 0 and keeps a bias for each class."""
        return FixupLayer(layer, 0.0, last=False, own_bias=True)

    def init(self) -> dict[str, object]:
        """Return He's initialisation, which the rule scales."""
        return {"scheme": "he"}


class FixupLayer(Wrapped):
    """y = a w.(x + b1) + b2, scalars a, b1, b2; `init_scale` multiplies the initial weights."""

    def __init__(self, layer: nn.Module, init_scale: float, last: bool, own_bias: bool = False) -> None:
        super().__init__(layer)
        self.init_scale = init_scale
        if not own_bias:
            self.bias = None
        self.bias_before = nn.Parameter(torch.zeros(()))
        self.bias_after = None if own_bias else nn.Parameter(torch.zeros(()))
        self.multiplier = nn.Parameter(torch.ones(())) if last else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in, ...) to (B, out, ...)."""
        y = self.product(x + self.bias_before, self.weight, self.bias)
        if self.multiplier is not None:
            y = y * self.multiplier
        return y if self.bias_after is None else y + self.bias_after
