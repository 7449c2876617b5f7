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
from normbench.probes.quantity import Quantity
from normbench.probes.view import RunView, Tensors


class Sharpness(Probe):
    """Largest algebraic eigenvalue of the Hessian, by Lanczos on Hessian-vector products.

    The Hessian is that of the mean loss of the run's first `batches` training batches, the same at every
    step, with the net in training mode (batch statistics, fixed dropout masks).
    """

    name: Literal["sharpness"] = "sharpness"
    iterations: int = Field(
        20, ge=2, le=1000, description="Lanczos iterations, each a Hessian-vector product"
    )
    batches: int = Field(1, ge=1, le=1000, description="number of training batches whose mean loss it uses")

    paper: ClassVar[str] = "Cohen et al. 2021, arXiv:2103.00065; Lanczos 1950"
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            "sharpness.largest",
            "sharpness",
            "largest eigenvalue of the Hessian",
            unit="largest eigenvalue",
            of="net",
        ),
        Quantity(
            "sharpness.times_rate",
            "learning rate x sharpness",
            "rate x largest; gradient descent without momentum on a quadratic is stable below 2 "
            "(Cohen et al. 2021)",
            of="net",
        ),
        Quantity(
            "sharpness.stable_rate",
            "largest stable rate by the sharpness",
            "2 / largest, the largest rate at which gradient descent is stable; inf if largest is not "
            "positive",
            of="net",
        ),
    )

    def looks_at(self, step: int) -> list[int]:
        """Return the first batches, at every step."""
        return list(range(self.batches))

    def refuses(self, net: nn.Module, settings: Any) -> str | None:
        """Refuse normalizations without a second derivative."""
        return settings.model.norm.no_second_derivative or None

    def cost(self, net: nn.Module) -> float:
        """Return the cost of a differentiable gradient, and of a Hessian product for each iteration."""
        return self.batches * (2.0 + 3.7 * self.iterations)

    def cost_in(self, net: nn.Module, executor: str) -> float:
        """Return the same cost for all executors: the forward pass runs once, the rest is arithmetic."""
        return self.cost(net)

    def measure(self, run: RunView) -> Values:
        """Return the numbers of the net."""
        largest = largest_eigenvalue(self.hessian(run), _flat(run.params), self.iterations)
        stable = torch.where(largest > 0, 2 / largest, torch.inf)
        found = {"largest": largest, "times_rate": run.lr * largest}
        found["stable_rate"] = torch.where(largest.isnan(), largest, stable)
        return {(NET, f"sharpness.{name}"): value for name, value in found.items()}

    def hessian(self, run: RunView) -> Any:
        """Return the function v -> H v for flat v. The forward pass is made once."""
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
    """Return the largest Ritz value of a symmetric matrix after some Lanczos iterations.

    It uses the three-term recurrence without reorthogonalization. The vectors lose their orthogonality once
    an eigenvalue has converged. That repeats the eigenvalue and changes no other (Paige 1976). Storing and
    reorthogonalizing the vectors would cost more than the products.

    Args:
        product: v -> A v for v (n,).
        like: a tensor (n,) of the wanted dtype and device.
        iterations: number of products, at most n.

    Returns:
        The Ritz value, a tensor without dimensions; NaN if a product is not finite.
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
            # after an invariant subspace the vector is zero and must not add an eigenvalue
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
    finite = matrix.isfinite().all()  # otherwise LAPACK raises, which would end the whole stack
    eye = torch.eye(len(alphas), dtype=like.dtype, device=like.device)
    values = torch.linalg.eigvalsh(torch.where(finite, matrix, eye))
    return torch.where(finite, values.amax(), torch.nan)
