"""Gradient and coming update of each layer."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import nn

from normbench.probes.base import Probe, Values
from normbench.probes.quantity import Quantity
from normbench.probes.view import RunView, minus, norm, squared_norm


class Gradients(Probe):
    """Norm of the gradient, update / weight, and the layer's share of the whole update.

    The gradient is that of the coming batch's loss with respect to all parameters of a layer. The update d
    is what the optimizer is about to add to them.
    """

    name: Literal["gradients"] = "gradients"

    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            "gradients.norm",
            "norm of the gradient",
            "‖∇L(W_i)‖, of all parameters of the layer: weights, biases, and gains and shifts of its "
            "normalization",
            unit="L2",
        ),
        Quantity(
            "gradients.update_ratio",
            "update / parameters",
            "‖d_i‖ / ‖W_i‖, of all parameters of the layer, as in gradients.norm",
            unit="ratio of norms",
        ),
        Quantity(
            "gradients.update_share",
            "share of the whole update's square",
            "‖d_i‖² / ‖d‖²; the shares of all layers sum to 1",
        ),
    )
    cheap: ClassVar[bool] = True

    def cost(self, net: nn.Module) -> float:
        """Return the cost of the step shared with the other cheap probes, and of the update."""
        return 2.0

    def measure(self, run: RunView) -> Values:
        """Return the numbers of each layer."""
        gradients, update = run.gradients(), minus(run.updated, run.params)
        whole = squared_norm(update)
        values: Values = {}
        for layer, names in run.layers.items():
            moved = squared_norm(update, names)
            values[layer, "gradients.norm"] = norm(gradients, names)
            values[layer, "gradients.update_ratio"] = moved.sqrt() / norm(run.params, names)
            values[layer, "gradients.update_share"] = moved / whole
        return values
