"""Layer normalization (Ba, Kiros & Hinton 2016, arXiv:1607.06450)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from normbench.norms.base import Affine, Normalization


class LayerNorm(Normalization):
    """Layer normalization: y = gamma (x - mean_x) / sqrt(var_x + eps) + beta, over the units of each sample.

    x is (B, F) or (B, F, H, W); gamma and beta are (F,). Mean and biased variance are taken over all features
    and pixels of a sample.
    """

    name: Literal["layernorm"] = "layernorm"
    eps: float = Field(1e-5, gt=0, description="added to the variance")
    affine: bool = Field(True, description="learn the gain gamma and the offset beta")

    short_names: ClassVar[tuple[str, ...]] = ("ln",)
    paper: ClassVar[str] = "Ba, Kiros & Hinton 2016, arXiv:1607.06450"

    def module(self, features: int) -> nn.Module:
        """Return the layer for (B, features) or (B, features, H, W)."""
        return LayerNormLayer(features, self)


class LayerNormLayer(Affine):
    """Standardizes each sample over its units; the same in training and at inference."""

    scale_invariant = True

    def __init__(self, features: int, options: LayerNorm) -> None:
        super().__init__(features, options.affine)
        self.eps = options.eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x (B, F) or (B, F, H, W)."""
        if x.dim() == 4:  # this kernel, with one group, keeps channels_last
            return F.group_norm(x, 1, self.weight, self.bias, self.eps)
        # under vmap the gain differs between runs, which this kernel cannot have: apply it separately
        return self.scale_and_shift(F.layer_norm(x, x.shape[1:], eps=self.eps))
