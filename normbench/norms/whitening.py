"""Whitening of a batch's features by eigendecomposition (Huang et al. 2018, arXiv:1804.08450)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from normbench.nn import functional
from normbench.norms.base import Affine, Normalization


class Whitening(Normalization):
    """ZCA whitening: y = gamma S^(-1/2) (x - mean_B) + beta, S = cov_B + eps I, for each group of features.

    x is (B, F) or (B, F, H, W); gamma and beta are (F,). Adjacent features form groups of equal size G, the
    largest divisor of F up to `group_size`. S^(-1/2) = U diag(l)^(-1/2) U' comes from an eigendecomposition;
    its gradient is finite even where eigenvalues coincide. Inference uses running averages of the mean and
    of S^(-1/2).

    Cost per step and layer: F/G eigendecompositions of G x G, O(F G^2), and O(B F G) for covariance and
    product. Batch normalization costs O(B F).
    """

    name: Literal["whitening"] = "whitening"
    eps: float = Field(1e-3, gt=0, description="added to the variances")
    momentum: float = Field(0.1, ge=0, le=1, description="weight of the new batch in the running statistics")
    affine: bool = Field(True, description="learn the gain gamma and the offset beta")
    group_size: int = Field(16, ge=1, description="largest number of features that are whitened together")

    paper: ClassVar[str] = "Huang et al. 2018, arXiv:1804.08450"
    subtracts_mean: ClassVar[bool] = True
    no_second_derivative: ClassVar[str] = (
        "its eigendecomposition has no second derivative here; take whitening_newton"
    )

    def module(self, features: int) -> nn.Module:
        """Return the layer for (B, features) or (B, features, H, W)."""
        return WhiteningLayer(features, self)

    def inverse_root(self, sigma: Tensor) -> Tensor:
        """Return S^(-1/2) for S (groups, G, G)."""
        return functional.inverse_sqrt(sigma, self.eps)

    def refuses(
        self, architecture: str, values: int, pixels: int | None = None, branches: int = 0
    ) -> str | None:
        """Refuse batches with fewer values than a group has features."""
        reason = super().refuses(architecture, values, pixels, branches)
        if reason is None and values < self.group_size:
            return (
                f"a covariance of up to {self.group_size} features (group_size) from {values} values is "
                f"singular; set model.norm.group_size to at most {values}, or raise data.batch_size"
            )
        return reason


class WhiteningLayer(Affine):
    """Whitens each group of features over the batch, and over the pixels of images."""

    running_mean: Tensor
    running_matrix: Tensor
    scale_invariant = True

    def __init__(self, features: int, options: Whitening) -> None:
        super().__init__(features, options.affine)
        self.options = options
        size = next(g for g in range(min(options.group_size, features), 0, -1) if features % g == 0)
        self.groups, self.size = features // size, size
        self.register_buffer("running_mean", torch.zeros(features))
        # torch.eye imports modules for a second where a net without storage is built.
        identity = torch.zeros(self.groups, size, size)
        identity.diagonal(dim1=1, dim2=2).fill_(1)
        self.register_buffer("running_matrix", identity)

    def forward(self, x: Tensor) -> Tensor:
        """Return x (B, F) or (B, F, H, W), whitened."""
        last = x.movedim(1, -1)  # (B, ..., F)
        rows = last.reshape(-1, self.groups, self.size).movedim(0, 1)  # (groups, n, G)
        if self.training:
            options, count = self.options, rows.shape[-2]
            mean = rows.mean(-2, keepdim=True)
            centered = rows - mean
            eye = torch.eye(self.size, dtype=x.dtype, device=x.device)
            sigma = centered.mT @ centered / count + options.eps * eye
            matrix = options.inverse_root(sigma)
            with torch.no_grad():
                self.running_mean.mul_(1 - options.momentum).add_(mean.flatten(), alpha=options.momentum)
                self.running_matrix.mul_(1 - options.momentum).add_(matrix, alpha=options.momentum)
        else:
            centered = rows - self.running_mean.view(self.groups, 1, self.size)
            matrix = self.running_matrix
        white = (centered @ matrix).movedim(0, 1).reshape(last.shape)  # S^(-1/2) is symmetric
        return self.scale_and_shift(white.movedim(-1, 1))
