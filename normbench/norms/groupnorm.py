"""Group normalization (Wu & He 2018, arXiv:1803.08494)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from normbench.norms.base import Affine, Normalization


class GroupNorm(Normalization):
    """Group normalization: y = gamma (x - mean_g) / sqrt(var_g + eps) + beta, over groups of features.

    x is (B, F) or (B, F, H, W); gamma and beta are (F,). Adjacent features, with all their pixels, form
    `groups` groups of equal size; mean and biased variance are taken for each sample and group, as
    `torch.nn.GroupNorm` does.
    """

    name: Literal["groupnorm"] = "groupnorm"
    groups: int = Field(4, ge=1, description="number of groups; must divide the features")
    eps: float = Field(1e-5, gt=0, description="added to the variance")
    affine: bool = Field(True, description="learn the gain gamma and the offset beta")

    short_names: ClassVar[tuple[str, ...]] = ("gn",)
    paper: ClassVar[str] = "Wu & He 2018, arXiv:1803.08494"

    def module(self, features: int) -> nn.Module:
        """Return the layer for (B, features) or (B, features, H, W)."""
        return GroupNormLayer(features, self.groups, self.eps, self.affine)

    def refuses_features(self, features: int, images: bool) -> str | None:
        """Refuse features that do not form equal groups, and groups of one number."""
        return refuses_groups(self.groups, features, images)


def refuses_groups(groups: int, features: int, images: bool) -> str | None:
    """Return why this many features (images or single numbers) cannot form these groups, or None."""
    if features % groups:
        return f"groups: {groups} does not divide the {features} features of one of its layers"
    if features == groups and not images:
        return f"groups: {groups} puts each of the {features} features in a group of its own, with variance 0"
    return None


class GroupNormLayer(Affine):
    """Standardizes each group of features of a sample; the same in training and at inference.

    Args:
        features: number of features or channels F.
        groups: number of groups.
        eps: added to the variance.
        affine: learn gamma and beta.
    """

    scale_invariant = True

    def __init__(self, features: int, groups: int, eps: float, affine: bool) -> None:
        super().__init__(features, affine)
        self.groups, self.eps = groups, eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x (B, F) or (B, F, H, W)."""
        if x.dim() == 4:  # this kernel keeps channels_last
            return F.group_norm(x, self.groups, self.weight, self.bias, self.eps)
        # under vmap the gain differs between runs, which this kernel cannot have: apply it separately
        xhat = F.layer_norm(x.unflatten(1, (self.groups, -1)), (self.features // self.groups,), eps=self.eps)
        return self.scale_and_shift(xhat.flatten(1))
