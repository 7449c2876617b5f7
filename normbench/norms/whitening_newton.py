"""Whitening by Newton's iteration (Huang et al. 2019, arXiv:1904.03441)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from normbench.norms.whitening import Whitening


class WhiteningNewton(Whitening):
    """Iterative whitening: y = gamma P_T (x - mean_B) / sqrt(tr S) + beta, P_T from T Newton steps.

    It is `whitening` with P_T / sqrt(tr S) in place of S^(-1/2): P_0 = I and
    P_k = (3 P_(k-1) - P_(k-1)^3 S / tr S) / 2. Five iterations bring large eigenvalues to 1 and leave small
    ones below 1, which the paper considers an advantage. gamma and beta are (F,).

    Cost per step and layer with F features in groups of G: 3 T products of G x G for each group, O(T F G^2),
    and O(B F G) for covariance and product.
    """

    name: Literal["whitening_newton"] = "whitening_newton"  # type: ignore[assignment]
    iterations: int = Field(5, ge=1, le=50, description="number T of Newton steps")

    paper: ClassVar[str] = "Huang et al. 2019, arXiv:1904.03441"
    no_second_derivative: ClassVar[str] = ""

    def inverse_root(self, sigma: Tensor) -> Tensor:
        """Return an approximate S^(-1/2) for S (groups, G, G)."""
        trace = sigma.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
        # with Q = P S / tr S the P_k are the same, but rounding errors do not grow (Higham 2008, 6.3)
        q = sigma / trace
        eye = torch.eye(sigma.shape[-1], dtype=sigma.dtype, device=sigma.device)
        p = eye.expand_as(sigma)
        for _ in range(self.iterations):
            step = 1.5 * eye - 0.5 * (p @ q)
            p, q = step @ p, q @ step
        return p * torch.rsqrt(trace)
