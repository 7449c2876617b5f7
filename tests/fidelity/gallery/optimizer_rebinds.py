"""Optimizers: parameters that are bound to new tensors, so that nothing is trained.

refused: changes no parameter in place
"""

from typing import Literal

from normbench.optimizers import OPTIMIZERS, Optimizer


@OPTIMIZERS.add
class Rebinding(Optimizer):
    """Plain descent."""

    name: Literal["optimizer_rebinds"] = "optimizer_rebinds"

    def update(self, params, grads, state, hyper):  # refused here
        for name in params:
            params[name] = params[name] - hyper["lr"] * grads[name]
