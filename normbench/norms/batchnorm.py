"""Batch normalization (Ioffe & Szegedy 2015, arXiv:1502.03167)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from normbench.nn import functional
from normbench.nn.layers import Noisy
from normbench.norms.base import Affine, Normalization
from normbench.norms.sequence_batchnorm import SequenceBatchNorm, move


class BatchNorm(Normalization):
    """Batch normalization: y = gamma (x - mean_B) / sqrt(var_B + eps) + beta, for each feature or channel.

    x is (B, F) or (B, F, H, W); gamma and beta are (F,). In training, mean_B and the biased variance var_B
    are taken over the batch and the pixels. Inference uses running averages with the unbiased variance,
    running <- (1 - momentum) running + momentum batch, as `torch.nn.BatchNorm2d` does.

    `precise_bn_batches` does not change training. Before each evaluation it replaces the running statistics
    by their means over this many training batches (at most one epoch) at the current weights (Wu & Johnson
    2021, arXiv:2105.07576); in a recurrent net, those of each time step. With `ghost` batches (Hoffer et al.
    2017, arXiv:1705.08741), the running statistics follow the mean over the parts. The noise after the layer
    is drawn for each feature at each training step; Santurkar et al. (2018, arXiv:1805.11604) use offset 0.5
    and scale 1.25.
    """

    name: Literal["batchnorm"] = "batchnorm"
    eps: float = Field(1e-5, gt=0, description="added to the variance")
    momentum: float = Field(0.1, ge=0, le=1, description="weight of the new batch in the running statistics")
    affine: bool = Field(True, description="learn the gain gamma and the offset beta")

    inference: Literal["running", "batch"] = Field(
        "running",
        description="statistics at inference: the running ones, or those of the evaluated batch, whose size "
        "train.eval_batch_size sets",
    )
    precise_bn_batches: int | None = Field(
        None,
        ge=1,
        description="training batches over which the statistics are averaged before each evaluation",
    )
    frozen_from: int | None = Field(
        None,
        ge=0,
        description="step from which training uses the running statistics and no longer updates them",
    )
    noise_offset: float = Field(0.0, ge=0, description="add m ~ U(-this, this) to each feature's outputs")
    noise_scale: float = Field(1.0, ge=1, description="multiply each feature's outputs by s ~ U(1, this)")
    detached: bool = Field(
        False, description="treat the statistics of the batch as constants in the gradient"
    )
    ghost: int | None = Field(
        None, ge=1, description="size of the parts of a training batch that are normalized separately"
    )

    short_names: ClassVar[tuple[str, ...]] = ("bn",)
    paper: ClassVar[str] = "Ioffe & Szegedy 2015, arXiv:1502.03167"
    late: ClassVar[frozenset[str]] = frozenset(
        {"inference", "precise_bn_batches", "frozen_from", "noise_offset", "noise_scale", "detached", "ghost"}
    )
    aliases: ClassVar[Mapping[str, str]] = {"reestimate": "precise_bn_batches"}
    subtracts_mean: ClassVar[bool] = True
    recurrent_gain: ClassVar[float] = 0.1  # Cooijmans et al. 2017: with 1, tanh saturates in every step

    @model_validator(mode="after")
    def _one_source(self) -> BatchNorm:
        if self.precise_bn_batches is not None and (
            self.frozen_from is not None or self.inference == "batch"
        ):
            raise ValueError(
                "'precise_bn_batches' replaces the running statistics for inference; found together with "
                "'frozen_from' or 'inference: batch', which rule that out; allowed: one of them"
            )
        return self

    @property
    def noisy(self) -> bool:
        """Return whether noise follows the normalization."""
        return self.noise_offset > 0 or self.noise_scale > 1

    def refuses(
        self, architecture: str, values: int, pixels: int | None = None, branches: int = 0
    ) -> str | None:
        """Refuse ghost batches that do not divide the batch or leave one value per feature."""
        if self.ghost is not None:
            batch = values // (pixels or 1)
            if batch % self.ghost:
                return f"ghost: {self.ghost} does not divide the batch of {batch}"
            values = self.ghost * (pixels or 1)
            if values < 2:
                return (
                    f"ghost: {self.ghost} makes batches of one, and without its mean nothing of one is left; "
                    "model.norm.ghost must be at least 2"
                )
        return super().refuses(architecture, values, pixels, branches)

    def module(self, features: int) -> nn.Module:
        """Return the layer for (B, features) or (B, features, H, W)."""
        return BatchNormLayer(features, self)

    def sequence_module(
        self, features: int, steps: int, shared: bool = False, offset: bool = True
    ) -> SequenceBatchNorm:
        """Return the layer that keeps running statistics for each step, or one set for all steps."""
        return SequenceBatchNorm(features, 1 if shared else steps, self, offset)

    def refuses_sequences(self) -> str | None:
        """Refuse the options that are not defined for sequences."""
        defaults = {name: field.default for name, field in type(self).model_fields.items()}
        defined = {"inference", "precise_bn_batches"}
        used = [name for name in sorted(self.late - defined) if getattr(self, name) != defaults[name]]
        return f"its option {used[0]} is not defined for the steps of a sequence" if used else None


class BatchNormLayer(Affine):
    """Standardizes each feature over the batch, and over the pixels of images."""

    running_mean: Tensor
    running_var: Tensor
    steps: Tensor
    momentum: float | Tensor

    def __init__(self, features: int, options: BatchNorm) -> None:
        super().__init__(features, options.affine)
        self.options, self.eps = options, options.eps
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))
        self.precise_bn_batches = options.precise_bn_batches
        self.scale_invariant = options.frozen_from is None and not options.detached
        if self.precise_bn_batches is None:
            self.momentum = options.momentum
        else:
            self.register_buffer("momentum", torch.tensor(options.momentum, dtype=torch.float64))
        if options.frozen_from is not None:
            self.register_buffer(
                "steps", torch.zeros(())
            )  # a tensor, so that each run of a stack has its own
        if options.noisy:
            self.noise = ActivationNoise(options.noise_offset, options.noise_scale)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x (B, F) or (B, F, H, W)."""
        options = self.options
        if not self.training and options.inference == "running":
            y = self.inference(x)
        else:
            parts = len(x) // options.ghost if self.training and options.ghost is not None else 1
            y, mean, var = self.standardize(x, parts)
            if self.training:
                count = x.numel() // self.features // parts
                y = self.remember(x, y, mean, var * (count / (count - 1)))
        return self.noise(y) if options.noisy else y

    def standardize(self, x: Tensor, parts: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return y, mean and biased variance of x; with several parts, the statistics averaged over them."""
        whole, weight, bias = x, self.weight, self.bias
        if parts > 1:  # treat the same feature in each part as a feature of its own
            x = x.unflatten(0, (parts, -1)).movedim(0, 1).flatten(1, 2)  # (B/parts, parts F, ...)
            weight, bias = weight.repeat(parts), bias.repeat(parts)
        if self.options.detached:
            y, mean, var = self.detached(x, weight, bias)
        else:
            y, mean, var = functional.batch_norm(x, weight, bias, self.eps)
        if parts > 1:
            y = y.unflatten(1, (parts, self.features)).movedim(1, 0).reshape(whole.shape)
            mean, var = mean.view(parts, -1).mean(0), var.view(parts, -1).mean(0)
        return y, mean, var

    def detached(self, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return y, mean and biased variance; the gradient treats mean and variance as constants."""
        shape = (-1, *[1] * (x.dim() - 2))
        with torch.no_grad():
            _, mean, var = functional.batch_norm(x, weight, bias, self.eps)
        xhat = (x - mean.view(shape)) * torch.rsqrt(var + self.eps).view(shape)
        return torch.addcmul(bias.view(shape), xhat, weight.view(shape)), mean, var

    def remember(self, x: Tensor, y: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        """Update the running statistics; return y or, once they are frozen, x normalized with them.

        Args:
            x: inputs (B, F) or (B, F, H, W).
            y: x normalized with the statistics of the batch.
            mean: mean of the batch (F,).
            var: unbiased variance of the batch (F,).
        """
        frozen_from = self.options.frozen_from
        if frozen_from is None:
            with torch.no_grad():
                move(self.running_mean, mean, self.momentum)
                move(self.running_var, var, self.momentum)
            return y
        frozen = self.steps >= frozen_from
        before = (
            self.running_mean.clone(),
            self.running_var.clone(),
        )  # the gradient needs the values from before the update
        y = torch.where(frozen, self.with_statistics(x, *before), y)
        with torch.no_grad():
            pairs = ((self.running_mean, mean), (self.running_var, var))
            for kept, (running, now) in zip(before, pairs, strict=True):
                move(running, now, self.momentum)
                running.copy_(torch.where(frozen, kept, running))
            self.steps.add_(1)
        return y

    def inference(self, x: Tensor) -> Tensor:
        """Return x (B, F, ...) normalized with the running statistics."""
        return self.with_statistics(x, self.running_mean, self.running_var)

    def with_statistics(self, x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        """Return x (B, F, ...) normalized with these statistics, by one multiplication and one addition."""
        shape = (-1, *[1] * (x.dim() - 2))
        scale = self.weight * torch.rsqrt(var + self.eps)
        shift = self.bias - mean * scale
        return torch.addcmul(shift.view(shape), x, scale.view(shape))


class ActivationNoise(Noisy):
    """y = s x + m in training: s ~ U(1, scale), m ~ U(-offset, offset) for each feature and step."""

    def __init__(self, offset: float, scale: float) -> None:
        super().__init__()
        self.offset, self.scale = offset, scale

    def draws(self, shape: torch.Size) -> tuple[int, ...]:
        """Return (2, F): two numbers for each feature of inputs (B, F, ...)."""
        return 2, shape[1]

    def forward(self, x: Tensor) -> Tensor:
        """Add the noise to x (B, F) or (B, F, H, W)."""
        if not self.training:
            return x
        shape = (-1, *[1] * (x.dim() - 2))
        scale, offset = self.uniform(x).unbind(0)
        scale, offset = 1 + (self.scale - 1) * scale, self.offset * (2 * offset - 1)
        return torch.addcmul(offset.view(shape), x, scale.view(shape))
