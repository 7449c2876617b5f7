"""Scaled weight standardization (Brock, De & Smith 2021, arXiv:2101.08692)."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from normbench.norms.base import Normalization
from normbench.norms.wrapped import Wrapped


class ScaledWeightStandardization(Normalization):
    """Scaled weight standardization: w = g (v - mean_v) / sqrt(n (var_v + eps)), for units with n inputs.

    v is (out, in, ...); mean and biased variance are taken over the inputs of a unit; the gain g is (out,).
    Independent inputs of variance 1 then give outputs of variance 1, without statistics of the data.
    Activations are multiplied by 1 / std(activation(z)), z standard normal (1.71 for ReLU), which restores
    variance 1. A residual block computes x + alpha f(x / beta). beta^2 = 1 + alpha^2 k is the variance of x
    after the k blocks of the same shape before it. The classifier is not changed.
    """

    name: Literal["scaled_weight_standardization"] = "scaled_weight_standardization"
    eps: float = Field(1e-6, gt=0, description="added to the variance of the weights")
    alpha: float = Field(0.2, gt=0, description="factor of a residual branch")
    activation_scaling: bool = Field(True, description="scale activations to variance 1")

    short_names: ClassVar[tuple[str, ...]] = ("sws",)
    paper: ClassVar[str] = "Brock, De & Smith 2021, arXiv:2101.08692"

    def wrap(self, layer: nn.Module) -> nn.Module:
        """Return the layer with standardized weights."""
        return ScaledStandardizedWeights(layer, self.eps)

    def wrap_classifier(self, layer: nn.Module) -> nn.Module:
        """Return the classifier unchanged."""
        return layer

    def branch_scales(self, index: int) -> tuple[float, float]:
        """Return alpha, and beta as the standard deviation of the block's inputs."""
        return self.alpha, math.sqrt(1 + index * self.alpha**2)

    def activation_gain(self, activation: nn.Module) -> float:
        """Return 1 / std(activation(z)), z standard normal."""
        return gain(activation) if self.activation_scaling else 1.0


def gain(activation: nn.Module) -> float:
    """Return 1 / std(activation(z)), z standard normal, by the trapezoidal rule over +-12 deviations."""
    z = torch.linspace(-12, 12, 24_001, dtype=torch.float64, device="cpu")
    density = torch.exp(-z * z / 2)
    density /= density.sum()
    y = activation(z.unsqueeze(0)).squeeze(0)
    mean = (density * y).sum()
    return 1 / math.sqrt(float((density * (y - mean).square()).sum()))


class ScaledStandardizedWeights(Wrapped):
    """y = w.x + b with w = g (v - mean_v) / sqrt(n (var_v + eps)); a unit has n inputs."""

    scale_invariant = True

    def __init__(self, layer: nn.Module, eps: float) -> None:
        super().__init__(layer)
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(self.weight.shape[0]))

    def effective(self) -> Tensor:
        """Return w, (out, in, ...)."""
        inputs = self.weight.numel() // self.weight.shape[0]
        scale = (self.gain / math.sqrt(inputs)).view(-1, *[1] * (self.weight.dim() - 1))
        return self.standardized(self.eps) * scale

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in, ...) to (B, out, ...)."""
        return self.product(x, self.effective(), self.bias)
