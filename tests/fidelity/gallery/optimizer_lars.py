"""Optimizers: LARS, written for one run.

exact: vectorized
"""

from typing import Literal

from normbench.optimizers import OPTIMIZERS, Optimizer


@OPTIMIZERS.add
class Lars(Optimizer):
    """LARS: w <- w - lr |w| / |g| g."""

    name: Literal["optimizer_lars"] = "optimizer_lars"

    def update(self, params, grads, state, hyper):
        for name, param in params.items():
            grad = grads[name]
            trust = (param.norm() + 1e-3) / (grad.norm() + 1e-9)
            param.sub_(hyper["lr"] * trust * grad)
