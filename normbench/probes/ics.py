"""Internal covariate shift: how the update of the lower layers changes a layer's gradient."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import nn

from normbench.probes.base import Probe, Values
from normbench.probes.quantity import Quantity
from normbench.probes.view import RunView, minus, norm


class ICS(Probe):
    """Internal covariate shift of layer i: norm of G - G' and cosine of the two.

    G is the gradient of the coming batch's loss with respect to the parameters of layer i. G' is the same
    gradient on the same batch after the coming update of the layers below i alone. The first layer has no
    layer below it, so it has no number.
    """

    name: Literal["ics"] = "ics"

    paper: ClassVar[str] = "Santurkar et al. 2018, arXiv:1805.11604, definition 2.1"
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("ics.norm", "internal covariate shift", "‖G_i - G'_i‖", unit="L2 norm"),
        Quantity("ics.cosine", "internal covariate shift", "cos(G_i, G'_i)", unit="cosine"),
    )

    def cost(self, net: nn.Module) -> float:
        """Return the cost of one gradient, and of one layer's gradient for each layer but the first."""
        return 1 + 0.7 * (self.depth(net) - 1)

    def measure(self, run: RunView) -> Values:
        """Return norm and cosine of each layer but the first."""
        gradients, moved = run.gradients(), dict(run.params)
        below: tuple[str, ...] = ()
        values: Values = {}
        for layer, names in run.layers.items():
            moved.update({name: run.updated[name] for name in below})
            if below:
                before = {name: gradients[name] for name in names}
                after = run.gradients(moved, of=names)
                product = torch.stack([(before[name] * after[name]).sum() for name in names]).sum()
                values[layer, "ics.norm"] = norm(minus(before, after))
                values[layer, "ics.cosine"] = product / (norm(before) * norm(after))
            below = names
        return values
