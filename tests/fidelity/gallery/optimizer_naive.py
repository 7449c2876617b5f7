"""Optimizers: said to be for a stack, with a norm over all runs.

refused: mixes the runs of a stack
"""

from typing import Literal

from normbench.optimizers import OPTIMIZERS, Optimizer
from normbench.optimizers.base import per_run


@OPTIMIZERS.add
class Naive(Optimizer):
    """LARS with the norm of all runs together."""

    name: Literal["optimizer_naive"] = "optimizer_naive"
    stacked = True

    def update(self, params, grads, state, hyper):  # refused here
        for name, param in params.items():
            trust = (param.norm() + 1e-3) / (grads[name].norm() + 1e-9)
            param.sub_(per_run(hyper["lr"], param) * trust * grads[name])
