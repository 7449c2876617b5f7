"""Batch renormalization (Ioffe 2017, arXiv:1702.03275)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from normbench.nn import functional
from normbench.norms.base import Affine, Normalization


class BatchRenorm(Normalization):
    """Batch renormalization: y = gamma ((x - mean_B) / s_B r + d) + beta, r and d from running statistics.

    mean_B and s_B = sqrt(var_B + eps) are statistics of the batch, for each feature of x (B, F) or channel of
    x (B, F, H, W). With the running statistics mean and s:

        r = clip(s_B / s, 1/r_max, r_max),  d = clip((mean_B - mean) / s, -d_max, d_max)
        mean <- (1 - momentum) mean + momentum mean_B, and likewise s

    No gradient flows through r and d. At inference y = gamma (x - mean) / s + beta. gamma and beta are (F,).

    The first `plain_steps` steps have r = 1 and d = 0 (batch normalization). Then the bounds grow linearly,
    to r_max at step `r_steps` and to d_max at step `d_steps`. The paper takes 5,000, 40,000 and 25,000 steps;
    the defaults here are a fiftieth of that.
    """

    name: Literal["batch_renorm"] = "batch_renorm"
    eps: float = Field(1e-5, gt=0, description="added to the variance")
    momentum: float = Field(0.05, ge=0, le=1, description="weight of the new batch in the running statistics")
    affine: bool = Field(True, description="learn the gain gamma and the offset beta")
    r_max: float = Field(3.0, ge=1, description="largest correction of the scale")
    d_max: float = Field(5.0, ge=0, description="largest correction of the mean, in standard deviations")
    plain_steps: int = Field(100, ge=0, description="first steps, with plain batch normalization")
    r_steps: int = Field(800, ge=0, description="step at which the bound of r reaches r_max")
    d_steps: int = Field(500, ge=0, description="step at which the bound of d reaches d_max")

    short_names: ClassVar[tuple[str, ...]] = ("brn",)
    paper: ClassVar[str] = "Ioffe 2017, arXiv:1702.03275"
    subtracts_mean: ClassVar[bool] = True  # d restores part of the mean, but without a gradient

    def module(self, features: int) -> nn.Module:
        """Return the layer for (B, features) or (B, features, H, W)."""
        return BatchRenormLayer(features, self)


class BatchRenormLayer(Affine):
    """Standardizes over the batch (and pixels), then corrects towards the running statistics."""

    running_mean: Tensor
    running_std: Tensor
    steps: Tensor

    def __init__(self, features: int, options: BatchRenorm) -> None:
        super().__init__(features, options.affine)
        self.options = options
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_std", torch.ones(features))
        self.register_buffer("steps", torch.zeros(()))  # a tensor, so that each run of a stack has its own

    def bound(self, start: float, end: float, until: int) -> Tensor:
        """Return the bound at this step: linear from start (at `plain_steps`) to end (at `until`)."""
        begin = self.options.plain_steps
        share = (self.steps - begin) / max(1, until - begin)
        return start + (end - start) * share.clamp(0.0, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x (B, F) or (B, F, H, W)."""
        shape = (-1, *[1] * (x.dim() - 2))
        if not self.training:
            scale = self.weight / self.running_std
            shift = self.bias - self.running_mean * scale
            return torch.addcmul(shift.view(shape), x, scale.view(shape))
        options = self.options
        one, zero = torch.ones_like(self.running_std), torch.zeros_like(self.running_mean)
        xhat, mean, var = functional.batch_norm(x, one, zero, options.eps)
        with torch.no_grad():
            std = (var + options.eps).sqrt()
            r_max = self.bound(1.0, options.r_max, options.r_steps)
            d_max = self.bound(0.0, options.d_max, options.d_steps)
            r = torch.minimum(torch.maximum(std / self.running_std, 1 / r_max), r_max)
            d = torch.minimum(torch.maximum((mean - self.running_mean) / self.running_std, -d_max), d_max)
            self.running_mean.mul_(1 - options.momentum).add_(mean, alpha=options.momentum)
            self.running_std.mul_(1 - options.momentum).add_(std, alpha=options.momentum)
            self.steps.add_(1)
        return self.scale_and_shift(torch.addcmul(d.view(shape), xhat, r.view(shape)))
