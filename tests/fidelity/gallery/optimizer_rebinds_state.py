"""Optimizers: a state that is bound to new tensors.

refused: binds state['average'] to new tensors
"""

from typing import Literal

from normbench.optimizers import OPTIMIZERS, Optimizer
from normbench.optimizers.base import zeros


@OPTIMIZERS.add
class Rebinding(Optimizer):
    """Averaged gradients."""

    name: Literal["optimizer_rebinds_state"] = "optimizer_rebinds_state"

    def state(self, params):
        return {"average": zeros(params)}

    def update(self, params, grads, state, hyper):  # refused here
        for name, param in params.items():
            state["average"][name] = 0.9 * state["average"][name] + grads[name]
            param.sub_(hyper["lr"] * state["average"][name])
