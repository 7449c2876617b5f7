"""Dynamic tanh (Zhu et al. 2025, arXiv:2503.10622)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from normbench.norms.base import Affine, Normalization


class DynamicTanh(Normalization):
    """Dynamic tanh: y = gamma tanh(alpha x) + beta, alpha one learned number for each layer; no statistics.

    x is (B, F) or (B, F, H, W); gamma (1) and beta (0) are one for each feature or channel.
    """

    name: Literal["dynamic_tanh"] = "dynamic_tanh"
    alpha: float = Field(0.5, gt=0, description="the initial alpha")
    affine: bool = Field(True, description="learn the gain gamma and the offset beta")

    paper: ClassVar[str] = "Zhu et al. 2025, arXiv:2503.10622"

    def module(self, features: int) -> nn.Module:
        """Return the layer for this many features."""
        return DynamicTanhLayer(features, self)


class DynamicTanhLayer(Affine):
    """Squashes each unit; the same in training and at inference."""

    def __init__(self, features: int, options: DynamicTanh) -> None:
        super().__init__(features, options.affine)
        self.alpha = nn.Parameter(torch.tensor(options.alpha))

    def forward(self, x: Tensor) -> Tensor:
        """Squash x (B, F) or (B, F, H, W)."""
        return self.scale_and_shift(torch.tanh(x * self.alpha))
