"""Optimizers: a counter of the steps in Python.

refused: changes `self._steps`
"""

from typing import Literal

from pydantic import PrivateAttr

from normbench.optimizers import OPTIMIZERS, Optimizer


@OPTIMIZERS.add
class Counting(Optimizer):
    """Descent that slows down late."""

    name: Literal["optimizer_counter"] = "optimizer_counter"
    _steps: int = PrivateAttr(0)

    def update(self, params, grads, state, hyper):  # refused here
        self._steps += 1
        for name, param in params.items():
            param.sub_(hyper["lr"] / (1 if self._steps < 50 else 2) * grads[name])
