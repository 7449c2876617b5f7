"""Instance normalization (Ulyanov, Vedaldi & Lempitsky 2016, arXiv:1607.08022)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from normbench.norms.base import Normalization
from normbench.norms.groupnorm import GroupNormLayer


class InstanceNorm(Normalization):
    """Instance normalization: y = gamma (x - mean_i) / sqrt(var_i + eps) + beta, over a channel's pixels.

    x is (B, C, H, W); gamma and beta are (C,). Mean and biased variance are taken over (H, W), in training
    and at inference. It needs images: a single number minus its mean is 0.
    """

    name: Literal["instancenorm"] = "instancenorm"
    eps: float = Field(1e-5, gt=0, description="added to the variance")
    affine: bool = Field(True, description="learn the gain gamma and the offset beta")

    short_names: ClassVar[tuple[str, ...]] = ("in",)
    paper: ClassVar[str] = "Ulyanov, Vedaldi & Lempitsky 2016, arXiv:1607.08022"
    subtracts_mean: ClassVar[bool] = True
    needs_images: ClassVar[bool] = True

    def module(self, features: int) -> nn.Module:
        """Return the layer for (B, features, H, W): group normalization with one channel per group."""
        return GroupNormLayer(features, features, self.eps, self.affine)
