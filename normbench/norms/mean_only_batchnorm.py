"""Mean-only batch normalization (Salimans & Kingma 2016, arXiv:1602.07868, section 4)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from normbench.norms.base import Normalization
from normbench.norms.weightnorm import WeightNorm


class MeanOnlyBatchNorm(Normalization):
    """Mean-only batch normalization: y = x - mean_B + beta, for each feature or channel.

    x is (B, F) or (B, F, H, W); beta is (F,). Inference uses the running mean,
    running <- (1 - momentum) running + momentum batch.
    """

    name: Literal["mean_only_batchnorm"] = "mean_only_batchnorm"
    momentum: float = Field(0.1, ge=0, le=1, description="weight of the new batch in the running mean")

    paper: ClassVar[str] = "Salimans & Kingma 2016, arXiv:1602.07868, section 4"
    subtracts_mean: ClassVar[bool] = True

    def module(self, features: int) -> nn.Module:
        """Return the layer for (B, features) or (B, features, H, W)."""
        return MeanOnlyBatchNormLayer(features, self.momentum)


class WeightNormMeanOnlyBatchNorm(WeightNorm):
    """Weight normalization with mean-only batch normalization: y = t - mean_B(t) + beta, t = g v.x / ||v||.

    v is (out, in, ...); g and beta are (out,). Weight normalization sets the scale of a unit, the batch sets
    its mean. The paper reports its best results with this pair.
    """

    name: Literal["weightnorm_mean_only_batchnorm"] = "weightnorm_mean_only_batchnorm"  # type: ignore[assignment]
    momentum: float = Field(0.1, ge=0, le=1, description="weight of the new batch in the running mean")

    paper: ClassVar[str] = "Salimans & Kingma 2016, arXiv:1602.07868, section 4"
    subtracts_mean: ClassVar[bool] = True

    def module(self, features: int) -> nn.Module:
        """Return the mean-only layer; `wrap` normalizes the weights."""
        return MeanOnlyBatchNormLayer(features, self.momentum)


class MeanOnlyBatchNormLayer(nn.Module):
    """Subtracts the mean of each feature over the batch and the pixels; adds the learned offset beta."""

    running_mean: Tensor

    def __init__(self, features: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        """Return x - mean + beta for x (B, F) or (B, F, H, W)."""
        shape = (-1, *[1] * (x.dim() - 2))
        if not self.training:
            return x + (self.bias - self.running_mean).view(shape)
        mean = x.mean((0, *range(2, x.dim())))
        with torch.no_grad():
            self.running_mean.mul_(1 - self.momentum).add_(mean, alpha=self.momentum)
        return x + (self.bias - mean).view(shape)
