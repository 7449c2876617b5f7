"""How a small change of the first layer grows on its way up."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from normbench.probes.base import Probe, Values
from normbench.probes.view import RunView
from normbench.probes.weights import weighted


class Perturbation(Probe):
    """Relative change of each layer's outputs for a relative change of the first layer's weights.

    growth = (||h' - h|| / ||h||) / size, where h are a layer's outputs (of its activation; of the last layer
    the logits) on the coming batch, and h' those with W + size ||W|| u / ||u|| in the first layer, u of
    independent normal numbers, the same in every run; the mean over `directions` of u.
    """

    name: Literal["perturbation"] = "perturbation"
    size: float = Field(0.01, gt=0, description="norm of the change over the norm of the weights")
    directions: int = Field(2, ge=1, le=1000, description="random directions to average over")

    def refuses(self, net: nn.Module, settings: Any) -> str | None:
        """Refuse nets without weights."""
        return None if weighted(net) else "the net has no layer with weights"

    def cost(self, net: nn.Module) -> float:
        """Return a step, and a forward pass for each direction."""
        return 1 + 0.5 * self.directions

    def measure(self, run: RunView) -> Values:
        """Return the growth at each layer."""
        first = f"{next(iter(weighted(run.model)))}.weight"
        last = next(reversed(run.layers))
        weight = run.params[first]
        before = _outputs(run, {}, last)
        sums: dict[str, Tensor] = {}
        for index in range(self.directions):
            draws = np.random.default_rng(index).standard_normal(tuple(weight.shape))
            u = torch.tensor(draws, dtype=weight.dtype, device=weight.device)
            moved = weight + self.size * weight.square().sum().sqrt() / u.square().sum().sqrt() * u
            for layer, h in _outputs(run, {first: moved}, last).items():
                change = (h - before[layer]).square().sum() / before[layer].square().sum()
                sums[layer] = sums.get(layer, 0) + change.sqrt() / self.size
        return {(layer, "perturbation.growth"): value / self.directions for layer, value in sums.items()}


def _outputs(run: RunView, params: dict[str, Tensor], last: str) -> dict[str, Tensor]:
    """Return the outputs of each layer with these parameters in place of the run's own."""
    seen = run.seen(params=params) if params else run.seen()
    return {layer: h for layer, (_, h) in seen.activations.items()} | {last: seen.logits}
