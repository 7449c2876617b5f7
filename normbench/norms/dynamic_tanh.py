"""Dynamic tanh (Zhu et al. 2025, arXiv:2503.10622)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from normbench.norms.base import Affine, Normalization


class DynamicTanh(Normalization):
    """Dynamic tanh: y = gamma tanh(alpha x) + beta, with one learned alpha per layer; no statistics.

    x is (B, F) or (B, F, H, W); gamma (initially 1) and beta (0) are (F,), alpha is a scalar.
    """

    name: Literal["dynamic_tanh"] = "dynamic_tanh"
    alpha: float = Field(0.5, gt=0, description="initial value of alpha")
    affine: bool = Field(True, description="learn the gain gamma and the offset beta")

    short_names: ClassVar[tuple[str, ...]] = ("dyt",)
    paper: ClassVar[str] = "Zhu et al. 2025, arXiv:2503.10622"

    def module(self, features: int) -> nn.Module:
        """Return the layer for (B, features) or (B, features, H, W)."""
        return DynamicTanhLayer(features, self)


class DynamicTanhLayer(Affine):
    """Maps each unit; the same in training and at inference."""

    def __init__(self, features: int, options: DynamicTanh) -> None:
        super().__init__(features, options.affine)
        self.alpha = nn.Parameter(torch.tensor(options.alpha))

    def forward(self, x: Tensor) -> Tensor:
        """Return gamma tanh(alpha x) + beta for x (B, F) or (B, F, H, W)."""
        return self.scale_and_shift(torch.tanh(x * self.alpha))
