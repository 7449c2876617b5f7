"""Group normalization (Wu & He 2018, arXiv:1803.08494)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from normbench.errors import PlanError
from normbench.norms.base import Affine, Normalization


class GroupNorm(Normalization):
    """Group normalization: y = gamma (x - mean_g) / sqrt(var_g + eps) + beta, over groups of each sample's features.

    Neighbouring features (or channels, with all their pixels) form `groups` groups of equal size, as in
    `torch.nn.GroupNorm`; gamma and beta are one for each feature.
    """

    name: Literal["groupnorm"] = "groupnorm"
    groups: int = Field(4, ge=1, description="number of groups; it must divide the features")
    eps: float = Field(1e-5, gt=0, description="added to the variance")
    affine: bool = Field(True, description="learn the gain gamma and the offset beta")

    paper: ClassVar[str] = "Wu & He 2018, arXiv:1803.08494"

    def module(self, features: int) -> nn.Module:
        """Return the layer for this many features."""
        check_groups(self.groups, features)
        return GroupNormLayer(features, self.groups, self.eps, self.affine)

    def refuses(
        self, architecture: str, values: int, pixels: int | None = None, branches: int = 0
    ) -> str | None:
        """Refuse nothing here: what matters are the features of each layer, which `module` is told."""
        return None


def check_groups(groups: int, features: int) -> None:
    """Raise if the features cannot be divided into so many groups."""
    if features % groups:
        raise PlanError(f"groups: {groups} does not divide the {features} features of one of its layers")


class GroupNormLayer(Affine):
    """Standardises each group of a sample's features; the same in training and at inference."""

    def __init__(self, features: int, groups: int, eps: float, affine: bool) -> None:
        super().__init__(features, affine)
        self.groups, self.eps = groups, eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x (B, F) or (B, F, H, W)."""
        if x.dim() == 4:  # the kernel keeps channels_last, with the gain for each channel
            return F.group_norm(x, self.groups, self.weight, self.bias, self.eps)
        # the gain is applied apart: under vmap it differs between runs, the kernel's must not
        xhat = F.layer_norm(
            x.unflatten(1, (self.groups, -1)), (self.features // self.groups,), eps=self.eps
        )
        return self.scale_and_shift(xhat.flatten(1))
