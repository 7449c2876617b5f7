"""Variance of the gradient from batch to batch."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from normbench.names import NET
from normbench.probes.base import Probe, Values
from normbench.probes.quantity import Quantity
from normbench.probes.view import RunView, minus, norm, squared_norm


class GradientNoise(Probe):
    """Variance of the gradient over batches, norm of the mean gradient, and their ratio.

    Computed from the gradients g_b of the next `batches` batches at the current weights. The scale times the
    batch size is the simple noise scale.
    """

    name: Literal["gradient_noise"] = "gradient_noise"
    batches: int = Field(8, ge=2, le=1000, description="number of batches to compare")

    paper: ClassVar[str] = "McCandlish et al. 2018, arXiv:1812.06162"
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            "gradient_noise.variance",
            "variance of the gradient",
            "trace of the covariance: Σ ‖g_b - mean‖² / (batches - 1)",
            of="layer and net",
        ),
        Quantity(
            "gradient_noise.norm",
            "norm of the mean gradient",
            "‖mean of g_b‖",
            unit="L2",
            of="layer and net",
        ),
        Quantity(
            "gradient_noise.scale",
            "noise scale",
            "variance / norm²",
            unit="variance / squared norm",
            of="layer and net",
        ),
    )

    def looks_at(self, step: int) -> list[int]:
        """Return the coming batches."""
        return list(range(step, step + self.batches))

    def cost(self, net: nn.Module) -> float:
        """Return the cost of a gradient for each batch."""
        return float(self.batches)

    def measure(self, run: RunView) -> Values:
        """Return the numbers of the net and of each layer."""
        gradients = [run.gradients(run.params, run.batches[step]) for step in self.looks_at(run.step)]
        mean = {name: torch.stack([g[name] for g in gradients]).mean(0) for name in run.params}
        differences = [minus(gradient, mean) for gradient in gradients]
        values: Values = {}
        for layer, names in {NET: tuple(run.params), **run.layers}.items():
            spread = torch.stack([squared_norm(one, names) for one in differences]).sum() / (self.batches - 1)
            length = norm(mean, names)
            values[layer, "gradient_noise.variance"] = spread
            values[layer, "gradient_noise.norm"] = length
            values[layer, "gradient_noise.scale"] = spread / length.square()
        return values
