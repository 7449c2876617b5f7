"""Layer normalization (Ba, Kiros & Hinton 2016, arXiv:1607.06450)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from normbench.norms.base import Affine, Normalization


class LayerNorm(Normalization):
    """Layer normalization: y = g (x - mean_x) / sqrt(var_x + eps) + b, over the units of each sample.

    Images are normalized over channels and pixels together, with a gain for each channel.
    """

    name: Literal["layernorm"] = "layernorm"
    eps: float = Field(1e-5, gt=0, description="added to the variance")
    affine: bool = Field(True, description="learn the gain g and the offset b")

    paper: ClassVar[str] = "Ba, Kiros & Hinton 2016, arXiv:1607.06450"

    def module(self, features: int) -> nn.Module:
        """Return the layer for this many features."""
        return LayerNormLayer(features, self)


class LayerNormLayer(Affine):
    """Standardises each sample over its units; the same in training and at inference."""

    scale_invariant = True

    def __init__(self, features: int, options: LayerNorm) -> None:
        super().__init__(features, options.affine)
        self.eps = options.eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x (B, F) or (B, F, H, W)."""
        if x.dim() == 4:  # one group: the kernel that keeps channels_last, with the gain for each channel
            return F.group_norm(x, 1, self.weight, self.bias, self.eps)
        # the gain is applied apart: under vmap it differs between runs, the kernel's must not
        return self.scale_and_shift(F.layer_norm(x, x.shape[1:], eps=self.eps))
