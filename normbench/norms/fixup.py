"""Fixup initialization (Zhang, Dauphin & Ma 2019, arXiv:1901.09321)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from normbench.norms.base import Normalization
from normbench.norms.wrapped import Wrapped


class Fixup(Normalization):
    """Fixup: y = a w.(x + b1) + b2 for each layer; small initial w in place of a normalization.

    It is for residual nets, here with L branches of m layers each. In the branches, w starts as He's
    initialization times L^(-1/(2m-2)); the last layer of each branch and the classifier start at 0. b1, b2
    (initially 0) and a (1, only in the last layer of a branch) are learned scalars; w is (out, in) or
    (out, in, k, k). The classifier keeps a bias per class in place of b2.
    """

    name: Literal["fixup"] = "fixup"

    paper: ClassVar[str] = "Zhang, Dauphin & Ma 2019, arXiv:1901.09321"
    needs_branches: ClassVar[bool] = True

    def wrap(self, layer: nn.Module) -> nn.Module:
        """Return a layer outside the branches, with scalar biases."""
        return FixupLayer(layer, 1.0, last=False)

    def wrap_in_branch(self, layer: nn.Module, branches: int, layers: int, last: bool) -> nn.Module:
        """Return a layer of a branch with its initial scale, which is 0 for the last layer."""
        scale = 0.0 if last else branches ** (-1 / (2 * layers - 2))
        return FixupLayer(layer, scale, last)

    def wrap_classifier(self, layer: nn.Module) -> nn.Module:
        """Return the classifier, which starts at 0 and keeps a bias per class."""
        return FixupLayer(layer, 0.0, last=False, own_bias=True)

    def init(self) -> dict[str, object]:
        """Return He's initialization, which the layers scale."""
        return {"scheme": "he"}


class FixupLayer(Wrapped):
    """y = a w.(x + b1) + b2 with learned scalars a, b1 and b2.

    Args:
        layer: the linear or convolution layer to replace.
        init_scale: factor of the initial weights.
        last: whether to learn a, for the last layer of a branch.
        own_bias: keep the bias of `layer`, (out,), in place of b2.
    """

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
