"""Optimizers: Muon-like, with an iteration of matrices.

exact: vectorized
"""

from typing import Literal

from normbench.optimizers import OPTIMIZERS, Optimizer
from normbench.optimizers.base import zeros


@OPTIMIZERS.add
class Muon(Optimizer):
    """Momentum that is made orthogonal by Newton's iteration."""

    name: Literal["optimizer_muon"] = "optimizer_muon"

    def state(self, params):
        return {"momentum": zeros(params)}

    def update(self, params, grads, state, hyper):
        for name, param in params.items():
            momentum = state["momentum"][name]
            momentum.mul_(0.9).add_(grads[name])
            param.sub_(hyper["lr"] * orthogonal(momentum))


def orthogonal(matrix):
    if matrix.dim() < 2:
        return matrix
    x = matrix / (matrix.norm() + 1e-7)
    for _ in range(5):
        x = 1.5 * x - 0.5 * x @ x.T @ x
    return x
