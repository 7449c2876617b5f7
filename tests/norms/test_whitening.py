"""Whitening: the covariance of the outputs is the identity, and the gradient is finite everywhere."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.func import vmap

from normbench.nn import functional
from normbench.norms import NORMS

F64 = torch.float64


def covariance(y: Tensor) -> Tensor:
    rows = y.movedim(1, 0).flatten(1)
    centered = rows - rows.mean(1, keepdim=True)
    return centered @ centered.T / rows.shape[1]


def mixed(shape: tuple[int, ...]) -> Tensor:
    """Inputs with correlated features of different scales."""
    torch.manual_seed(0)
    x, mix = torch.randn(shape, dtype=F64), torch.randn(shape[1], shape[1], dtype=F64)
    return (x.movedim(1, -1) @ mix * torch.logspace(-0.5, 0.5, shape[1], dtype=F64)).movedim(-1, 1) + 3


@pytest.mark.parametrize("shape", [(200, 8), (20, 8, 5, 4)])
def test_the_output_is_white_and_closest_to_the_input(shape):
    """The covariance is I, and the matrix is symmetric, which singles out ZCA among all whitenings."""
    x = mixed(shape)
    layer = NORMS["whitening"](name="whitening", eps=1e-12).module(8).to(F64)
    torch.testing.assert_close(covariance(layer(x)), torch.eye(8, dtype=F64), atol=1e-6, rtol=0)
    matrix = (layer.running_matrix - 0.9 * torch.eye(8)) / 0.1
    torch.testing.assert_close(matrix, matrix.mT)


def test_groups_are_whitened_separately_and_as_large_as_possible():
    for features, most, size in ((12, 5, 4), (12, 16, 12), (7, 4, 1), (100, 16, 10)):
        layer = NORMS["whitening"](name="whitening", group_size=most).module(features)
        assert tuple(layer.running_matrix.shape) == (features // size, size, size)
    x = mixed((100, 8))
    both = NORMS["whitening"](name="whitening", group_size=4).module(8).to(F64)(x)
    for part in (slice(0, 4), slice(4, 8)):
        alone = NORMS["whitening"](name="whitening").module(4).to(F64)(x[:, part])
        torch.testing.assert_close(both[:, part], alone)


def test_newtons_iteration_converges_to_the_eigendecomposition():
    x = mixed((200, 8))
    exact = NORMS["whitening"](name="whitening").module(8).to(F64)(x)
    distances = []
    for iterations in (2, 5, 40):
        layer = NORMS["whitening_newton"](name="whitening_newton", iterations=iterations).module(8)
        distances.append(float((layer.to(F64)(x) - exact).detach().norm()))
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] < 1e-6


def root(sigma: Tensor) -> Tensor:
    return functional.inverse_sqrt((sigma + sigma.mT) / 2, 1e-9)


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("spread", [0.0, 1e-9, 1e-3, 1.0], ids=["equal", "nearly equal", "close", "apart"])
def test_the_gradient_is_right_where_eigenvalues_coincide(spread, stacked):
    """Against finite differences. A gradient through the eigenvectors would be infinite or NaN there."""
    torch.manual_seed(1)
    basis = torch.linalg.qr(torch.randn(5, 5, dtype=F64)).Q
    values = 2 + spread * torch.arange(5, dtype=F64)
    sigma = basis @ torch.diag(values) @ basis.T
    if stacked:
        sigma = torch.stack([sigma, sigma + torch.eye(5, dtype=F64)])
    sigma.requires_grad_()
    assert torch.autograd.gradcheck(
        vmap(root) if stacked else root, (sigma,), eps=1e-5, atol=1e-6, check_undefined_grad=False
    )


def test_a_diverged_run_gives_nan_and_does_not_affect_the_others():
    sigma = torch.stack([2 * torch.eye(3), torch.full((3, 3), float("nan"))]).requires_grad_()
    result = functional.inverse_sqrt(sigma, 1e-5)
    result.sum().backward()
    assert torch.equal(result[0], functional.inverse_sqrt(2 * torch.eye(3), 1e-5))
    assert result[1].isnan().all()
    assert sigma.grad is not None
    assert sigma.grad[0].isfinite().all()
