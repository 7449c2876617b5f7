"""Gradient and coming update of each layer."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import nn

from normbench.probes.base import Probe, Values
from normbench.probes.view import RunView, minus, norm, squared_norm


class Gradients(Probe):
    """Norm of the gradient, update / weight, and the layer's share of the whole update.

    g: gradient of the coming batch's loss in all parameters of a layer; d: what the optimiser is about to add
    to them. norm = ||g||, update_ratio = ||d|| / ||parameters||, update_share = ||d||^2 / sum over all
    layers of ||d||^2: the shares of a net sum to 1.
    """

    name: Literal["gradients"] = "gradients"

    cheap: ClassVar[bool] = True

    def cost(self, net: nn.Module) -> float:
        """Return the step that it shares with the other cheap ones, and the update."""
        return 2.0

    def measure(self, run: RunView) -> Values:
        """Return the three numbers of each layer."""
        gradients, update = run.gradients(), minus(run.updated, run.params)
        whole = squared_norm(update)
        values: Values = {}
        for layer, names in run.layers.items():
            moved = squared_norm(update, names)
            values[layer, "gradients.norm"] = norm(gradients, names)
            values[layer, "gradients.update_ratio"] = moved.sqrt() / norm(run.params, names)
            values[layer, "gradients.update_share"] = moved / whole
        return values
