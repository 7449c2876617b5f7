"""Optimizers: Lion, with a state and decay.

exact: vectorized
"""

from typing import ClassVar, Literal

from normbench.optimizers import OPTIMIZERS, Optimizer
from normbench.optimizers.base import zeros


@OPTIMIZERS.add
class Lion(Optimizer):
    """Lion (Chen et al. 2023): the sign of an average of gradients."""

    name: Literal["optimizer_lion"] = "optimizer_lion"
    beta: float = 0.9
    per_run: ClassVar[tuple[str, ...]] = ("lr", "weight_decay", "beta")

    def state(self, params):
        return {"average": zeros(params)}

    def update(self, params, grads, state, hyper):
        beta = hyper["beta"]
        for name, param in params.items():
            average = state["average"][name]
            average.mul_(beta).add_((1 - beta) * grads[name])
            step = average.sign()
            if "weight_decay" in hyper:
                step = step + hyper["weight_decay"] * param
            param.sub_(0.01 * hyper["lr"] * step)
