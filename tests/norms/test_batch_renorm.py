"""Batch renormalization: r and d, with their growing bounds, against the formula."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from normbench.norms import NORMS

OPTIONS = {"momentum": 0.2, "r_max": 1.5, "d_max": 0.4, "plain_steps": 2, "r_steps": 6, "d_steps": 4}
SHAPES = {"2d": (12, 4), "4d": (6, 4, 3, 2)}
# the bounds at each step: 1 and 0 for two steps, then linear to r_max at step 6 and to d_max at step 4
R_BOUNDS = [1, 1, 1, 1.125, 1.25, 1.375, 1.5, 1.5, 1.5]
D_BOUNDS = [0, 0, 0, 0.2, 0.4, 0.4, 0.4, 0.4, 0.4]
close = {"rtol": 1e-9, "atol": 1e-11}


def made() -> nn.Module:
    layer = NORMS["batch_renorm"](name="batch_renorm", **OPTIONS).module(4).to(torch.float64)
    with torch.no_grad():
        layer.weight.uniform_(0.5, 2)
        layer.bias.uniform_(-1, 1)
    return layer


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_corrections_are_clipped_to_growing_bounds(shape):
    torch.manual_seed(0)
    layer, dims = made(), (0, *range(2, len(shape)))

    def column(value: Tensor) -> Tensor:
        return value.view(1, -1, *[1] * (len(shape) - 2))

    running_mean, running_std = torch.zeros(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64)
    # features with r clipped above, below and not at all, and d likewise
    deviation = torch.tensor([3.0, 0.2, 1.0, 1.05], dtype=torch.float64)
    offset = torch.tensor([2.0, -2.0, 0.1, 0.0], dtype=torch.float64)
    clipped = {"r above": 0, "r below": 0, "r free": 0, "d above": 0, "d below": 0, "d free": 0}
    for r_max, d_max in zip(R_BOUNDS, D_BOUNDS, strict=True):
        noise = torch.randn(shape, dtype=torch.float64)
        x = (noise * column(deviation) + column(offset)).requires_grad_()
        mean, std = x.mean(dims), (x.var(dims, correction=0) + 1e-5).sqrt()
        with torch.no_grad():
            r, d = std / running_std, (mean - running_mean) / running_std
            clipped["r above"] += int((r > r_max).sum())
            clipped["r below"] += int((r < 1 / r_max).sum())
            clipped["r free"] += int(((r < r_max) & (r > 1 / r_max)).sum())
            clipped["d above"] += int((d > d_max).sum())
            clipped["d below"] += int((d < -d_max).sum())
            clipped["d free"] += int((d.abs() < d_max).sum())
            r, d = r.clamp(1 / r_max, r_max), d.clamp(-d_max, d_max)
        xhat = (x - column(mean)) / column(std) * column(r) + column(d)
        expected = xhat * column(layer.weight) + column(layer.bias)
        y = layer.train()(x)
        torch.testing.assert_close(y, expected, **close)
        upstream, inputs = torch.randn_like(y), (x, layer.weight, layer.bias)
        torch.testing.assert_close(
            torch.autograd.grad(y, inputs, upstream), torch.autograd.grad(expected, inputs, upstream), **close
        )
        with torch.no_grad():
            running_mean += 0.2 * (mean - running_mean)
            running_std += 0.2 * (std - running_std)
        torch.testing.assert_close(layer.running_mean, running_mean, **close)
        torch.testing.assert_close(layer.running_std, running_std, **close)
    assert all(clipped.values()), clipped  # every case occurred
