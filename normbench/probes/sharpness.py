"""The largest curvature of the loss."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import grad, vjp

from normbench.names import NET
from normbench.nn.functional import second_derivatives
from normbench.probes.base import Probe, Values
from normbench.probes.view import RunView, Tensors


class Sharpness(Probe):
    """Largest algebraic eigenvalue of the Hessian, by Lanczos on Hessian-vector products.

    Of the mean loss of the run's first `batches` training batches, the same at every step, with the net as in
    training (batch statistics; their dropout masks fixed). times_rate = rate x largest: gradient descent
    without momentum is stable below 2; stable_rate = 2 / largest, the largest rate for which it is (inf where
    nothing curves upward).
    """

    name: Literal["sharpness"] = "sharpness"
    iterations: int = Field(20, ge=2, le=1000, description="steps of Lanczos, each a Hessian-vector product")
    batches: int = Field(1, ge=1, le=1000, description="training batches of its loss")

    paper: ClassVar[str] = "Cohen et al. 2021, arXiv:2103.00065; Lanczos 1950"

    def looks_at(self, step: int) -> list[int]:
        """Return the first batches, whatever the step."""
        return list(range(self.batches))

    def refuses(self, net: nn.Module, settings: Any) -> str | None:
        """Refuse whitening by eigendecomposition, whose gradient is written out."""
        if settings.model.norm.name == "whitening":
            return "its eigendecomposition has no second derivative here; take whitening_newton"
        return None

    def cost(self, net: nn.Module) -> float:
        """Return a gradient that can be derived again, and for each iteration the gradient of one."""
        return self.batches * (2.0 + 3.7 * self.iterations)

    def cost_in(self, net: nn.Module, executor: str) -> float:
        """Return the same for all executors: the forward pass is made once, the rest is arithmetic."""
        return self.cost(net)

    def measure(self, run: RunView) -> Values:
        """Return the three numbers of the net."""
        largest = largest_eigenvalue(self.hessian(run), _flat(run.params), self.iterations)
        stable = torch.where(largest > 0, 2 / largest, torch.inf)
        found = {"largest": largest, "times_rate": run.rate * largest}
        found["stable_rate"] = torch.where(largest.isnan(), largest, stable)
        return {(NET, f"sharpness.{name}"): value for name, value in found.items()}

    def hessian(self, run: RunView) -> Any:
        """Return the function v -> H v for flat v; the forward pass is made once."""
        names = list(run.params)

        def mean_loss(params: Tensors) -> Tensor:
            losses = [run.loss(params, run.batches[step]) for step in self.looks_at(run.step)]
            return torch.stack(losses).mean()

        with second_derivatives():
            _, pull = vjp(grad(mean_loss), run.params)  # type: ignore[misc]

        def product(vector: Tensor) -> Tensor:
            sizes = [run.params[name].numel() for name in names]
            parts = zip(names, vector.split(sizes), strict=True)
            with second_derivatives():
                (found,) = pull({name: part.view_as(run.params[name]) for name, part in parts})
            return _flat(found)

        return product


def _flat(tensors: Tensors) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors.values()])


def largest_eigenvalue(product: Any, like: Tensor, iterations: int) -> Tensor:
    """Return the largest Ritz value of a symmetric matrix after so many steps of Lanczos.

    The three-term recurrence alone: the vectors lose their orthogonality once an eigenvalue has converged,
    which repeats that eigenvalue and harms none (Paige 1976); to store and clear them would cost more than
    the products.

    Args:
        product: v -> A v for v (n,).
        like: a tensor (n,) of the wanted dtype and device.
        iterations: products to make, n at most.
    """
    draws = np.random.default_rng(0).standard_normal(like.numel())  # the same start for every run and step
    vector = torch.tensor(draws / np.linalg.norm(draws), dtype=like.dtype, device=like.device)
    before = torch.zeros_like(vector)
    alphas: list[Tensor] = []
    betas: list[Tensor] = []
    for _ in range(min(iterations, like.numel())):
        image = product(vector)
        alpha = (image * vector).sum()
        image = torch.addcmul(image, alpha, vector, value=-1)
        if betas:
            image = torch.addcmul(image, betas[-1], before, value=-1)
            # a zero vector behind an invariant subspace adds no eigenvalue of its own
            alpha = torch.where(betas[-1] == 0, alphas[0], alpha)
        alphas.append(alpha)
        beta = image.square().sum().sqrt()
        tiny = 100 * torch.finfo(like.dtype).eps * torch.stack(alphas).abs().amax()
        beta = torch.where(beta <= tiny, 0, beta)
        before, vector = vector, image * torch.where(beta == 0, 0, 1 / beta)
        betas.append(beta)
    matrix = torch.diag(torch.stack(alphas))
    if len(alphas) > 1:
        off = torch.diag(torch.stack(betas[:-1]), 1)
        matrix = matrix + off + off.T
    finite = matrix.isfinite().all()  # LAPACK raises where it is not, which would end the whole stack
    eye = torch.eye(len(alphas), dtype=like.dtype, device=like.device)
    values = torch.linalg.eigvalsh(torch.where(finite, matrix, eye))
    return torch.where(finite, values.amax(), torch.nan)
