"""Optimizers: weight decay taken from the options, in which the runs of a stack may differ.

refused: reads `self.weight_decay` in `update`
decay: 0.1
"""

from typing import Literal

from normbench.optimizers import OPTIMIZERS, Optimizer


@OPTIMIZERS.add
class Decaying(Optimizer):
    """Descent with decay."""

    name: Literal["optimizer_own_option"] = "optimizer_own_option"

    def update(self, params, grads, state, hyper):  # refused here
        for name, param in params.items():
            param.sub_(hyper["lr"] * (grads[name] + self.weight_decay * param))
