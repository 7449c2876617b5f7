"""Mean-only batch normalization (Salimans & Kingma 2016, section 4)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from normbench.norms.base import Normalization
from normbench.norms.weightnorm import WeightNorm


class MeanOnlyBatchNorm(Normalization):
    """Mean-only batch normalization: y = x - mean_B + b, for each feature or channel; the scale stays.

    At inference the running mean serves, running <- (1 - momentum) running + momentum batch.
    """

    name: Literal["mean_only_batchnorm"] = "mean_only_batchnorm"
    momentum: float = Field(0.1, ge=0, le=1, description="weight of the new batch in the running mean")

    paper: ClassVar[str] = "Salimans & Kingma 2016, arXiv:1602.07868, section 4"
    subtracts_mean: ClassVar[bool] = True

    def module(self, features: int) -> nn.Module:
        """Return the layer for this many features."""
        return MeanOnlyBatchNormLayer(features, self.momentum)


class WeightNormMeanOnlyBatchNorm(WeightNorm):
    """Weight normalization with mean-only batch normalization: y = g v.x/||v|| - mean_B + b.

    The weight normalization fixes the scale of a unit, the batch its mean; this pair was the paper's best.
    """

    name: Literal["weightnorm_mean_only_batchnorm"] = "weightnorm_mean_only_batchnorm"  # type: ignore[assignment]
    momentum: float = Field(0.1, ge=0, le=1, description="weight of the new batch in the running mean")

    paper: ClassVar[str] = "Salimans & Kingma 2016, arXiv:1602.07868, section 4"
    subtracts_mean: ClassVar[bool] = True

    def module(self, features: int) -> nn.Module:
        """Return the mean-only layer; `wrap` gives the normalized weights."""
        return MeanOnlyBatchNormLayer(features, self.momentum)


class MeanOnlyBatchNormLayer(nn.Module):
    """Subtracts each feature's mean over the batch, and over the pixels of images; adds a learned offset."""

    running_mean: Tensor

    def __init__(self, features: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        """Centre x (B, F) or (B, F, H, W)."""
        shape = (-1, *[1] * (x.dim() - 2))
        if not self.training:
            return x + (self.bias - self.running_mean).view(shape)
        mean = x.mean((0, *range(2, x.dim())))
        with torch.no_grad():
            self.running_mean.mul_(1 - self.momentum).add_(mean, alpha=self.momentum)
        return x + (self.bias - mean).view(shape)
