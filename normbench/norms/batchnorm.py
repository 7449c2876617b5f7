"""Batch normalization (Ioffe & Szegedy 2015, arXiv:1502.03167)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from normbench import functional
from normbench.norms.base import Affine, Normalization
from normbench.norms.sequence_batchnorm import SequenceBatchNorm


class BatchNorm(Normalization):
    """Batch normalization: y = gamma (x - mean_B) / sqrt(var_B + eps) + beta, for each feature or channel.

    In training the mean and the biased variance are the batch's; at inference running averages serve,
    running <- (1 - momentum) running + momentum batch, with the unbiased variance, as `torch.nn.BatchNorm`.
    """

    name: Literal["batchnorm"] = "batchnorm"
    eps: float = Field(1e-5, gt=0, description="added to the variance")
    momentum: float = Field(0.1, ge=0, le=1, description="weight of the new batch in the running statistics")
    affine: bool = Field(True, description="learn the gain gamma and the offset beta")

    paper: ClassVar[str] = "Ioffe & Szegedy 2015, arXiv:1502.03167"
    subtracts_mean: ClassVar[bool] = True
    recurrent_gain: ClassVar[float] = 0.1  # Cooijmans et al. 2017: with 1, tanh saturates in every step

    def module(self, features: int) -> nn.Module:
        """Return the layer for this many features."""
        return BatchNormLayer(features, self)

    def sequence_module(
        self, features: int, steps: int, shared: bool = False, offset: bool = True
    ) -> SequenceBatchNorm:
        """Return the layer that keeps running statistics for each step of a sequence, or for all."""
        return SequenceBatchNorm(
            features, 1 if shared else steps, self.eps, self.momentum, self.affine, offset
        )

    def refuses_sequences(self) -> str | None:
        """Return None: there is a form for sequences."""
        return None


class BatchNormLayer(Affine):
    """Standardises each of (features) over the batch, and over the pixels of images."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, features: int, options: BatchNorm) -> None:
        super().__init__(features, options.affine)
        self.eps, self.momentum = options.eps, options.momentum
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x (B, F) or (B, F, H, W)."""
        if not self.training:
            return self.inference(x)
        y, mean, var = functional.batch_norm(x, self.weight, self.bias, self.eps)
        count = x.numel() // self.features
        with torch.no_grad():
            self.running_mean.mul_(1 - self.momentum).add_(mean, alpha=self.momentum)
            self.running_var.mul_(1 - self.momentum).add_(var, alpha=self.momentum * count / (count - 1))
        return y

    def inference(self, x: Tensor) -> Tensor:
        """Normalize with the running statistics, folded into one multiplication and one addition."""
        shape = (-1, *[1] * (x.dim() - 2))
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        shift = self.bias - self.running_mean * scale
        return torch.addcmul(shift.view(shape), x, scale.view(shape))
