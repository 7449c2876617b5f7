"""Optimizers: noise of torch.

refused: draws random numbers of torch
"""

from typing import Literal

import torch

from normbench.optimizers import OPTIMIZERS, Optimizer


@OPTIMIZERS.add
class Langevin(Optimizer):
    """Descent with noise."""

    name: Literal["optimizer_random"] = "optimizer_random"

    def update(self, params, grads, state, hyper):  # refused here
        for name, param in params.items():
            param.sub_(hyper["lr"] * (grads[name] + 0.1 * torch.randn_like(param)))
