"""How a small change of the first layer's weights grows from layer to layer."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from normbench.probes.base import Probe, Values
from normbench.probes.quantity import Quantity
from normbench.probes.view import RunView
from normbench.probes.weights import weighted


class Perturbation(Probe):
    """Relative change of each layer's outputs for a relative change of the first layer's weights.

    h are the outputs of a layer's activation on the coming batch, or the logits for the last layer. h' are
    the outputs with W + size ||W|| u / ||u|| in the first layer. u has independent normal entries, the same
    in every run. The result is the mean over `directions` draws of u.
    """

    name: Literal["perturbation"] = "perturbation"
    size: float = Field(0.01, gt=0, description="norm of the change relative to the norm of the weights")
    directions: int = Field(2, ge=1, le=1000, description="number of random directions to average over")

    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            "perturbation.growth",
            "growth of a change in the first layer",
            "(‖h' - h‖ / ‖h‖) / size, the mean over directions",
        ),
    )

    def refuses(self, net: nn.Module, settings: Any) -> str | None:
        """Refuse nets without weights."""
        return None if weighted(net) else "the net has no layer with weights"

    def cost(self, net: nn.Module) -> float:
        """Return the cost of a step, and of a forward pass for each direction."""
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
    """Return the outputs of each layer, with these parameters in place of the run's own."""
    seen = run.seen(params=params) if params else run.seen()
    return {layer: h for layer, (_, h) in seen.activations.items()} | {last: seen.logits}
