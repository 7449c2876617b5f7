"""Optimizers: LARS, written for a stack.

exact: vectorized
"""

from typing import Literal

from normbench.optimizers import OPTIMIZERS, Optimizer
from normbench.optimizers.base import per_run


@OPTIMIZERS.add
class Lars(Optimizer):
    """LARS: w <- w - lr |w| / |g| g."""

    name: Literal["optimizer_lars_stacked"] = "optimizer_lars_stacked"
    stacked = True

    def update(self, params, grads, state, hyper):
        for name, param in params.items():
            grad = grads[name]
            trust = (param.flatten(1).norm(dim=1) + 1e-3) / (grad.flatten(1).norm(dim=1) + 1e-9)
            param.sub_(per_run(hyper["lr"] * trust, param) * grad)
