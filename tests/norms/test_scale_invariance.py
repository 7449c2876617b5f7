"""`scale_invariant` holds exactly for the layers that ignore the scale of their inputs or their weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from normbench.nn.layers import Conv2d, Linear
from normbench.norms import NORMS
from normbench.norms.wrapped import Wrapped

F64 = torch.float64
LAYERED = [name for name in NORMS if NORMS[name](name=name).module(8) is not None]
WRAPPING = [name for name in NORMS if isinstance(NORMS[name](name=name).wrap(Linear(9, 5)), Wrapped)]
BATCHNORM = ({}, {"detached": True}, {"frozen_from": 0}, {"ghost": 4}, {"noise_scale": 1.5})
CASES = [(name, {}) for name in LAYERED if name != "batchnorm"] + [("batchnorm", more) for more in BATCHNORM]


def outputs_and_gradient(layer: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)  # of the noise
    x = x.clone().requires_grad_()
    y = layer(x)
    (gradient,) = torch.autograd.grad(y, x, torch.linspace(-1, 1, y.numel(), dtype=F64).view_as(y))
    return y.detach(), gradient


@pytest.mark.parametrize(
    ("name", "more"), CASES, ids=lambda part: part if isinstance(part, str) else str(part)
)
def test_the_scale_of_the_inputs(name, more):
    """Invariant outputs do not depend on the scale, and the gradient has no part along the inputs."""
    # without eps; batch renormalization corrects from the first step
    wanted = {"eps": 1e-12, "plain_steps": 0, "r_steps": 1, "d_steps": 1}
    torch.manual_seed(0)
    own = {key: wanted[key] for key in wanted.keys() & NORMS[name].model_fields.keys()}
    layer = NORMS[name](name=name, **own, **more).module(8)
    layer = layer.to(F64)
    x = torch.randn(8, 8, 5, 4, dtype=F64) + 0.5
    layer(x)  # moves running statistics and the count of steps
    (y, gradient), (scaled, _) = (outputs_and_gradient(layer, factor * x) for factor in (1, 1.5))
    along = float((gradient * x).sum() / (gradient.norm() * x.norm()))
    ignores_scale = torch.allclose(y, scaled, rtol=1e-4, atol=1e-4) and abs(along) < 1e-4
    assert getattr(layer, "scale_invariant", False) == ignores_scale


@pytest.mark.parametrize("plain", [Linear(9, 5), Conv2d(3, 5, 3)], ids=["linear", "convolution"])
@pytest.mark.parametrize("name", WRAPPING)
def test_the_scale_of_the_weights(name, plain):
    torch.manual_seed(0)
    eps = {"eps": 1e-12} if "eps" in NORMS[name].model_fields else {}
    layer = NORMS[name](name=name, **eps).wrap(plain)
    with torch.no_grad():
        layer.weight.copy_(torch.randn_like(layer.weight))
        x = torch.randn((12, 9) if layer.weight.dim() == 2 else (4, 3, 6, 6))
        y = layer(x)
        layer.weight *= 1.5
        assert layer.scale_invariant == torch.allclose(layer(x), y, rtol=1e-4, atol=1e-5)
