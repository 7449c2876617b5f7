"""Root mean square normalization (Zhang & Sennrich 2019, arXiv:1910.07467)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from normbench.norms.base import Normalization


class RMSNorm(Normalization):
    """RMS normalization: y = gamma x / sqrt(mean(x^2) + eps), the mean over the units of each sample.

    Layer normalization without the mean and the offset. x is (B, F) or (B, F, H, W); gamma is (F,). The mean
    square is taken over all features and pixels of a sample.
    """

    name: Literal["rmsnorm"] = "rmsnorm"
    eps: float = Field(1e-5, gt=0, description="added to the mean square")
    affine: bool = Field(True, description="learn the gain gamma")

    short_names: ClassVar[tuple[str, ...]] = ("rms",)
    paper: ClassVar[str] = "Zhang & Sennrich 2019, arXiv:1910.07467"

    def module(self, features: int) -> nn.Module:
        """Return the layer for (B, features) or (B, features, H, W)."""
        return RMSNormLayer(features, self)


class RMSNormLayer(nn.Module):
    """Divides each sample by its root mean square; the same in training and at inference."""

    scale_invariant = True

    def __init__(self, features: int, options: RMSNorm) -> None:
        super().__init__()
        self.eps = options.eps
        self.weight = nn.Parameter(torch.ones(features)) if options.affine else None

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x (B, F) or (B, F, H, W)."""
        scale = torch.rsqrt((x * x).mean(tuple(range(1, x.dim())), keepdim=True) + self.eps)
        y = x * scale
        return y if self.weight is None else y * self.weight.view(-1, *[1] * (x.dim() - 2))
