"""Change of the loss when only the lower layers are updated."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from normbench.probes.base import Probe, Values
from normbench.probes.quantity import Quantity
from normbench.probes.view import RunView


class Forgetting(Probe):
    """Rise of the loss when the layers up to a boundary make the coming update and those above stay.

    Measured on the coming batch. The rise at the last layer is that of the whole update.
    """

    name: Literal["forgetting"] = "forgetting"
    times: float = Field(1.0, gt=0, description="multiplies the update")

    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            "forgetting.rise",
            "rise of the loss",
            "L(lower layers updated) - L(none updated); `layer` is the last updated layer",
            unit="nats",
        ),
    )

    def cost(self, net: nn.Module) -> float:
        """Return the cost of a step, and of a forward pass for each boundary."""
        return 1 + 0.4 * self.depth(net)

    def measure(self, run: RunView) -> Values:
        """Return the rise at each boundary."""
        before, moved = run.loss_now, dict(run.params)
        values: Values = {}
        for layer, names in run.layers.items():
            for name in names:
                old, new = run.params[name], run.updated[name]
                moved[name] = new if self.times == 1 else old + self.times * (new - old)
            values[layer, "forgetting.rise"] = run.loss(moved) - before
        return values
