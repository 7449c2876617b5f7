"""Each normalization against its formula and against torch's layer, alone and under vmap."""

from __future__ import annotations

import pytest
import torch
from helpers.plain_norms import FEATURES, plain_norm
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from normbench.models.init import Init, initialize
from normbench.nn import functional
from normbench.nn.layers import ACTIVATIONS, Conv2d, Linear
from normbench.norms import NORMS

F64 = torch.float64
INPUTS = {"2d": (12, FEATURES), "4d": (6, FEATURES, 5, 4)}
LAYERED = [name for name in NORMS if NORMS[name](name=name).module(FEATURES) is not None]
close = {"rtol": 1e-9, "atol": 1e-11}


def skip_if_refused(name: str, shape: tuple[int, ...]) -> None:
    if NORMS[name].needs_images and len(shape) == 2:
        pytest.skip("only for images")


def made(name: str, **options: object) -> nn.Module:
    """A layer in float64 with random gain and offset."""
    layer = NORMS[name](name=name, **options).module(FEATURES).to(F64)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn_like(parameter))
    return layer


def grads(y: Tensor, upstream: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(y, inputs, upstream)


@pytest.mark.parametrize("shape", INPUTS.values(), ids=INPUTS)
@pytest.mark.parametrize("name", LAYERED)
def test_layers_follow_their_formulas_over_several_batches_in_both_modes(name, shape):
    """Outputs, gradients and buffers against torch.nn's layer, or against the formula and its autograd."""
    skip_if_refused(name, shape)
    torch.manual_seed(0)
    ours, theirs = made(name), plain_norm(name, FEATURES, images=len(shape) == 4).to(F64)
    loaded = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert not loaded.unexpected_keys
    for _ in range(4):
        x = (torch.randn(shape, dtype=F64) * 3 + 2).requires_grad_()
        upstream = torch.randn(shape, dtype=F64)
        a, b = ours.train()(x), theirs.train()(x)
        torch.testing.assert_close(a, b, **close)
        names = [key for key, _ in ours.named_parameters()]
        own = [dict(layer.named_parameters())[key] for layer in (ours, theirs) for key in names]
        mine, its = (
            grads(y, upstream, x, *params) for y, params in ((a, own[: len(names)]), (b, own[len(names) :]))
        )
        for one, other in zip(mine, its, strict=True):
            torch.testing.assert_close(one, other, **close)
        before = {key: value.clone() for key, value in ours.named_buffers()}
        for key, value in ours.state_dict().items():
            torch.testing.assert_close(theirs.state_dict()[key], value, **close)
        torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), **close)
        assert all(torch.equal(before[key], value) for key, value in ours.named_buffers())


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", INPUTS.values(), ids=INPUTS)
def test_batchnorm_equals_torch_over_several_batches_in_both_modes(shape, affine):
    torch.manual_seed(1)
    ours = made("batchnorm", momentum=0.3, eps=1e-3, affine=affine)
    cls = nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d
    theirs = cls(FEATURES, eps=1e-3, momentum=0.3, affine=affine, dtype=F64)
    theirs.load_state_dict(ours.state_dict(), strict=False)
    for _ in range(4):
        x = (torch.randn(shape, dtype=F64) * 2 - 1).requires_grad_()
        upstream = torch.randn(shape, dtype=F64)
        a, b = ours.train()(x), theirs.train()(x)
        torch.testing.assert_close(a, b, **close)
        torch.testing.assert_close(
            grads(a, upstream, x, *ours.parameters()), grads(b, upstream, x, *theirs.parameters()), **close
        )
        for name in ("running_mean", "running_var"):
            torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), **close)
        before = ours.running_var.clone()
        torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), **close)
        assert torch.equal(before, ours.running_var)


@pytest.mark.parametrize("data", [0, None], ids=["own-batch", "shared-batch"])
@pytest.mark.parametrize("shape", INPUTS.values(), ids=INPUTS)
@pytest.mark.parametrize("name", LAYERED)
def test_a_run_under_vmap_equals_the_run_alone(name, shape, data):
    """Guards against running statistics that a stack does not update, and against mixed-up run axes."""
    skip_if_refused(name, shape)
    torch.manual_seed(4)
    layers = [made(name) for _ in range(3)]
    params, buffers = stack_module_state(layers)
    x = torch.randn(shape if data is None else (3, *shape), dtype=F64, requires_grad=True)
    upstream = torch.randn(3, *shape, dtype=F64)

    def run(p: dict, b: dict, inputs: Tensor) -> Tensor:
        return functional_call(layers[0], (p, b), (inputs,))

    y = vmap(run, in_dims=(0, 0, data))(params, buffers, x)
    x_grad, *param_grads = grads(y, upstream, x, *params.values())
    alone = []
    for lane, layer in enumerate(layers):
        one = x if data is None else x[lane]
        out = layer(one)
        torch.testing.assert_close(y[lane], out, **close)
        own = grads(out, upstream[lane], one, *layer.parameters())
        alone.append(own[0])
        for stacked, gradient in zip(param_grads, own[1:], strict=True):
            torch.testing.assert_close(stacked[lane], gradient, **close)
        for key, value in layer.named_buffers():
            torch.testing.assert_close(buffers[key][lane], value, **close)
    expected = sum(alone) if data is None else torch.stack(alone)
    torch.testing.assert_close(x_grad, expected, **close)


def wrapped(name: str, kind: str, **options: object) -> tuple[nn.Module, nn.Module, Tensor]:
    """A weight-normalized layer, the plain layer that it replaces, and inputs."""
    plain = Linear(9, 5) if kind == "2d" else Conv2d(3, 5, 3, padding=1)
    x = torch.randn((30, 9) if kind == "2d" else (8, 3, 6, 6), dtype=F64)
    plain = plain.to(F64)
    return NORMS[name](name=name, **options).wrap(plain), plain, x


@pytest.mark.parametrize("kind", ["2d", "4d"])
@pytest.mark.parametrize("name", ["weightnorm", "weightnorm_mean_only_batchnorm"])
def test_weightnorm_equals_its_formula_and_torchs_parametrization(name, kind):
    torch.manual_seed(5)
    ours, plain, x = wrapped(name, kind)
    ours = ours.to(F64)
    ours.gain.data.uniform_(0.5, 2)
    theirs = weight_norm(nn.Linear(9, 5) if kind == "2d" else nn.Conv2d(3, 5, 3, padding=1)).to(F64)
    v, g = theirs.parametrizations.weight.original1, theirs.parametrizations.weight.original0
    with torch.no_grad():
        v.copy_(ours.weight)
        g.copy_(ours.gain.view_as(g))
        theirs.bias.copy_(ours.bias)
    w = ours.weight * (ours.gain / ours.weight.flatten(1).norm(dim=1)).view(
        -1, *[1] * (plain.weight.dim() - 1)
    )
    out = F.linear(x, w, ours.bias) if kind == "2d" else F.conv2d(x, w, ours.bias, padding=1)
    a, b = ours(x), theirs(x)
    torch.testing.assert_close(a, b, **close)
    torch.testing.assert_close(a, out, **close)
    upstream = torch.randn_like(a)
    for mine, torchs in zip(
        grads(a, upstream, ours.weight, ours.gain, ours.bias),
        grads(b, upstream, v, g, theirs.bias),
        strict=True,
    ):
        torch.testing.assert_close(mine, torchs.view_as(mine), **close)


@pytest.mark.parametrize("kind", ["2d", "4d"])
def test_the_gradient_in_v_is_orthogonal_to_v(kind):
    torch.manual_seed(6)
    layer, _, x = wrapped("weightnorm", kind)
    layer = layer.to(F64)
    y = layer(x)
    (gradient,) = grads(y, torch.randn_like(y), layer.weight)
    v = layer.weight.detach()
    dots = (gradient * v).flatten(1).sum(1)
    sizes = gradient.flatten(1).norm(dim=1) * v.flatten(1).norm(dim=1)
    assert float((dots / sizes).abs().max()) < 1e-12


@pytest.mark.parametrize("kind", ["2d", "4d"])
def test_weightnorm_without_data_starts_as_the_plain_layer(kind):
    torch.manual_seed(7)
    layer, plain, x = wrapped("weightnorm", kind, init_from_data=False)
    layer = layer.to(F64)
    layer.initialize(x)
    torch.testing.assert_close(layer(x), plain(x), **close)


@pytest.mark.parametrize("data", [0, None])
def test_linear_under_vmap_equals_torch(data):
    torch.manual_seed(8)
    x = torch.randn((6, 4) if data is None else (3, 6, 4), dtype=F64, requires_grad=True)
    w, b = (torch.randn(3, *s, dtype=F64, requires_grad=True) for s in ((5, 4), (5,)))
    upstream = torch.randn(3, 6, 5, dtype=F64)
    for bias in (True, False):
        in_dims = (data, 0, 0) if bias else (data, 0)
        inputs = (x, w, b) if bias else (x, w)
        a = vmap(functional.linear, in_dims=in_dims)(*inputs)
        theirs = torch.stack(
            [F.linear(x if data is None else x[i], w[i], b[i] if bias else None) for i in range(3)]
        )
        torch.testing.assert_close(a, theirs, **close)
        torch.testing.assert_close(grads(a, upstream, *inputs), grads(theirs, upstream, *inputs), **close)


TORCHS = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "identity": lambda x: x,
}


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_equal_torchs(name, stacked):
    x = torch.cat([torch.linspace(-30, 30, 241, dtype=F64), torch.tensor([-800.0, 800.0, 0.0, -1e-12])])
    x = x.to(F64).requires_grad_()
    module = ACTIVATIONS[name]()
    y = vmap(module)(x.view(5, 49)).flatten() if stacked else module(x)
    theirs = TORCHS[name](x)
    torch.testing.assert_close(y, theirs, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(
        grads(y, torch.ones_like(y), x), grads(theirs, torch.ones_like(y), x), rtol=1e-12, atol=1e-15
    )


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_round_equally_at_every_position(name, dtype):
    """Guards against kernels that use another routine for elements beyond full vector registers."""
    torch.manual_seed(9)
    x, upstream = torch.randn(2, 61, dtype=dtype)
    module = ACTIVATIONS[name]()

    def both(inputs: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        leaf = inputs.clone().requires_grad_()
        y = module(leaf)
        return y.detach(), grads(y, g, leaf)[0]

    first = both(x, upstream)
    for length in range(62, 61 * 5, 11):
        now = both(x.repeat(5)[:length], upstream.repeat(5)[:length])
        for a, b in zip(now, first, strict=True):
            assert torch.equal(a, b.repeat(5)[:length]), length


def test_selu_keeps_mean_0_and_variance_1():
    """The fixed point, by integration over a standard normal input."""
    z = torch.linspace(-12, 12, 200_001, dtype=F64)
    weight = torch.exp(-z * z / 2)
    weight /= weight.sum()
    y = ACTIVATIONS["selu"]()(z)
    mean = float((y * weight).sum())
    assert abs(mean) < 1e-8
    assert abs(float((y * y * weight).sum()) - mean**2 - 1) < 1e-8


def test_selu_net_stays_near_the_fixed_point_over_many_layers():
    torch.manual_seed(10)
    x = torch.randn(400, 256)
    for index in range(16):
        layer = nn.Sequential(Linear(256, 256))
        initialize(layer, Init().resolve(NORMS["selu"](name="selu").init()), seed=index)
        x = ACTIVATIONS["selu"]()(layer(x)).detach()
    assert abs(float(x.mean())) < 0.1
    assert abs(float(x.var()) - 1) < 0.2
