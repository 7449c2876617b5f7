"""Weight standardization (Qiao et al. 2019, arXiv:1903.10520)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from normbench.norms.base import Normalization
from normbench.norms.groupnorm import GroupNormLayer, refuses_groups
from normbench.norms.wrapped import Wrapped


class WeightStandardization(Normalization):
    """Weight standardization: w = (v - mean_v) / sqrt(var_v + eps), for each output unit; then groupnorm.

    v is (out, in, ...); mean and biased variance are taken over the inputs of a unit and the kernel. The
    outputs of a unit grow with the root of its number of inputs, so that a normalization of the activations
    must follow: here, as in the paper, group normalization. The classifier is not changed.
    """

    name: Literal["weight_standardization"] = "weight_standardization"
    eps: float = Field(1e-5, gt=0, description="added to the variance of the weights")
    groups: int | None = Field(
        4,
        ge=1,
        description="groups of the group normalization after each layer; null: no group normalization",
    )

    short_names: ClassVar[tuple[str, ...]] = ("ws",)
    paper: ClassVar[str] = "Qiao et al. 2019, arXiv:1903.10520"

    def wrap(self, layer: nn.Module) -> nn.Module:
        """Return the layer with standardized weights."""
        return StandardizedWeights(layer, self.eps)

    def wrap_classifier(self, layer: nn.Module) -> nn.Module:
        """Return the classifier unchanged."""
        return layer

    def module(self, features: int) -> nn.Module | None:
        """Return the group normalization for this many features, or None."""
        if self.groups is None:
            return None
        return GroupNormLayer(features, self.groups, 1e-5, affine=True)

    def has_layer(self) -> bool:
        """Return whether a group normalization follows."""
        return self.groups is not None

    def refuses_features(self, features: int, images: bool) -> str | None:
        """Refuse features that do not form equal groups, and groups of one number."""
        return None if self.groups is None else refuses_groups(self.groups, features, images)


class StandardizedWeights(Wrapped):
    """y = w.x + b with w = (v - mean_v) / sqrt(var_v + eps)."""

    scale_invariant = True

    def __init__(self, layer: nn.Module, eps: float) -> None:
        super().__init__(layer)
        self.eps = eps

    def effective(self) -> Tensor:
        """Return w, (out, in, ...)."""
        return self.standardized(self.eps)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in, ...) to (B, out, ...)."""
        return self.product(x, self.effective(), self.bias)
