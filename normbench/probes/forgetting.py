"""What the loss does when the lower layers move and the upper ones do not."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import nn

from normbench.probes.base import Probe, Values
from normbench.probes.view import RunView


class Forgetting(Probe):
    """Rise of the loss when the layers up to a boundary make the coming update and those above stay.

    rise = L(lower layers moved) - L(none moved) on the coming batch, named by the last layer that moved; of
    the last layer: the rise by the whole update. `times` multiplies the update.
    """

    name: Literal["forgetting"] = "forgetting"
    times: float = Field(1.0, gt=0, description="multiplies the update")

    def cost(self, net: nn.Module) -> float:
        """Return a step, and a forward pass for each boundary."""
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
