"""Optimizers: an exception in `update`.

refused: KeyError: 'beta'
"""

from typing import Literal

from normbench.optimizers import OPTIMIZERS, Optimizer


@OPTIMIZERS.add
class Broken(Optimizer):
    """Descent with an option that it does not have."""

    name: Literal["optimizer_raises"] = "optimizer_raises"

    def update(self, params, grads, state, hyper):
        for name, param in params.items():
            param.sub_(hyper["lr"] * hyper["beta"] * grads[name])  # refused here
