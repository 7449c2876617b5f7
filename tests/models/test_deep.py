"""Residual, highway, deep linear and all-convolutional nets: sizes, formulas, refusals."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from normbench.models import MODELS
from normbench.models.init import initialize
from normbench.nn.layers import Dropout, Linear
from normbench.norms import NORMS

close = {"rtol": 1e-9, "atol": 1e-11}


def options(model, norm="none", **fields):
    section = {"name": norm} if isinstance(norm, str) else norm
    return MODELS[model].model_validate({"name": model, "norm": section, **fields}).resolve()


def size(model, shape, **fields):
    with torch.device("meta"):
        return sum(p.numel() for p in options(model, **fields).build(shape, 10).parameters())


def built(model, shape, *args, **fields):
    made = options(model, *args, **fields)
    net = made.build(shape, 10)
    initialize(net, made.init, 0)
    return net.double()


def gradients_agree(ours, theirs, parameters):
    torch.testing.assert_close(ours, theirs, **close)
    upstream = torch.randn_like(ours)
    for a, b in zip(
        torch.autograd.grad(ours, parameters, upstream),
        torch.autograd.grad(theirs, parameters, upstream),
        strict=True,
    ):
        torch.testing.assert_close(a, b, **close)


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_residual_nets_have_as_many_parameters_as_in_the_paper(depth, millions):
    """He et al. 2016, table 6, with two parameters of batch normalization per channel."""
    for residual in (True, False):
        count = size("resnet", (3, 32, 32), depth=depth, norm="batchnorm", residual=residual)
        assert round(count / 1e6, 1 if depth == 110 else 2) == millions


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("depth", [8, 14])
def test_resnet_follows_its_formula(depth, residual):
    torch.manual_seed(0)
    net = built("resnet", (3, 10, 9), "batchnorm", depth=depth, width=3, residual=residual)
    x = torch.randn(4, 3, 10, 9, dtype=torch.float64)

    def convolved(y, part, stride=1):
        y = F.conv2d(y, part.layer.weight, stride=stride, padding=1)
        return F.batch_norm(y, None, None, part.norm.weight, part.norm.bias, True)

    y = F.relu(convolved(x, net.first))
    shapes = []
    for block in net.hidden:
        lower, upper = block.branch
        stride = 2 if lower.layer.weight.shape[0] > lower.layer.weight.shape[1] else 1
        f = convolved(F.relu(convolved(y, lower, stride)), upper)
        if residual:
            shortcut = torch.zeros_like(f)
            first = (f.shape[1] - y.shape[1]) // 2
            shortcut[:, first : first + y.shape[1]] = y[:, :, ::stride, ::stride]
            f = f + shortcut
        y = F.relu(f)
        shapes.append(tuple(y.shape[1:]))
    blocks = (depth - 2) // 6
    assert shapes == [(3, 10, 9)] * blocks + [(6, 5, 5)] * blocks + [(12, 3, 3)] * blocks
    gradients_agree(net(x), net.classifier(y.mean((2, 3))), list(net.parameters()))


def test_residual_nets_have_6_n_plus_2_layers_and_take_fixup_only_with_shortcuts():
    for depth in (8, 14, 20, 110):
        made = options("resnet", depth=depth)
        assert made.refuses((3, 32, 32), 20) is None
        with torch.device("meta"):
            net = made.build((3, 32, 32), 10)
        assert sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in net.modules()) == depth
    assert options("resnet", depth=21).refuses((3, 32, 32), 20) == (
        "depth 21 is not 6 n + 2; the nearest are 20 and 26"
    )
    assert options("resnet", "fixup").refuses((3, 32, 32), 20) is None
    assert "residual branches" in options("resnet", "fixup", residual=False).refuses((3, 32, 32), 20)


def test_with_fixup_each_block_starts_as_its_shortcut():
    net = built("resnet", (3, 8, 8), "fixup", depth=14, width=4)
    x = torch.randn(5, 3, 8, 8, dtype=torch.float64)
    y = net.first(x)
    for block in net.hidden:
        assert torch.equal(block(y), F.relu(block.shortcut(y)))
        y = block(y)
    assert not net(x).any()


def test_scaled_weight_standardization_keeps_variance_1_in_each_branch():
    """x / beta has variance 1 if x has the variance that the paper predicts (Brock et al. 2021)."""
    net = built("resnet", (3, 8, 8), "scaled_weight_standardization", depth=20, width=4)
    alpha = NORMS["scaled_weight_standardization"](name="scaled_weight_standardization").alpha
    variance = 1.0
    for index, block in enumerate(net.hidden):
        assert block.alpha == alpha
        variance /= block.scale**2
        assert variance / block.beta**2 == pytest.approx(1)
        assert (block.scale != 1) == (index in (3, 6))
        variance += alpha**2


@pytest.mark.parametrize("norm", ["none", "batchnorm"])
def test_highway_follows_its_formula(norm):
    torch.manual_seed(1)
    net = built("highway", (1, 4, 4), norm, depth=4, width=7, gate_bias=-1.5)
    x = torch.randn(9, 1, 4, 4, dtype=torch.float64)

    def plain(y, part):
        y = y @ part.layer.weight.T
        if norm == "none":
            return F.relu(y + part.layer.bias)
        return F.relu(F.batch_norm(y, None, None, part.norm.weight, part.norm.bias, True))

    y = plain(x.flatten(1), net.hidden[0])
    for layer in net.hidden[1:]:
        assert torch.equal(layer.gate.bias, torch.full_like(layer.gate.bias, -1.5))
        gate = torch.sigmoid(y @ layer.gate.weight.T + layer.gate.bias)
        y = plain(y, layer.block) * gate + y * (1 - gate)
    gradients_agree(net(x), net.classifier(y), list(net.parameters()))


def test_highway_and_plain_nets_have_about_as_many_parameters_per_layer():
    with_gates, plain = (built("highway", (1, 4, 4), gates=gates, depth=3) for gates in (True, False))
    counts = [sum(p.numel() for p in net.hidden[1].parameters()) for net in (with_gates, plain)]
    assert counts == [2 * (50 * 50 + 50), 71 * 71 + 71]  # Srivastava et al. 2015, section 3: 50 and 71 units
    assert abs(counts[0] / counts[1] - 1) < 0.01
    assert options("highway", gates=False, gate_bias=-9.0) == options("highway", gates=False)


def test_the_deep_linear_net_is_linear():
    net = built("deep_linear", (1, 4, 4), depth=25, width=16, init={"scheme": "orthogonal"})
    assert sum(isinstance(module, Linear) for module in net.modules()) == 26
    x = torch.randn(2, 3, 1, 4, 4, dtype=torch.float64)
    zero = net(torch.zeros_like(x[0]))
    torch.testing.assert_close(net(x[0] + x[1]) + zero, net(x[0]) + net(x[1]), **close)
    assert options("deep_linear", activation="tanh") == options("deep_linear")
    assert "linear" in options("deep_linear", "selu").refuses((1, 4, 4), 20)


def test_allconv_follows_the_table_of_the_paper():
    """Salimans & Kingma 2016, table 1; weights and biases counted by hand."""
    pairs = [(3, 96), (96, 96), (96, 96), (96, 192), (192, 192), (192, 192), (192, 192)]
    count = sum(9 * i * o + o for i, o in pairs) + 2 * (192 * 192 + 192) + 192 * 10 + 10
    assert size("allconv", (3, 32, 32)) == count
    net = built("allconv", (3, 32, 32), width=4)
    assert {m.negative_slope for m in net.modules() if isinstance(m, nn.LeakyReLU)} == {0.1}
    assert [float(m.rate) for m in net.modules() if isinstance(m, Dropout)] == [0.5, 0.5]
    seen = []
    net.hidden.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape)))
    assert net(torch.zeros(2, 3, 32, 32, dtype=torch.float64)).shape == (2, 10)
    assert seen == [(2, 8, 6, 6)]
    assert "12x12" in options("allconv").refuses((1, 8, 8), 20)
    assert options("allconv").refuses((1, 12, 12), 20) is None
    assert options("allconv", activation="relu", negative_slope=0.3) == options("allconv", activation="relu")


def test_places_of_dropout_in_deep_nets():
    for model in ("resnet", "highway"):
        made = options(model, depth=8, width=4, dropout={"rate": 0.1, "placement": "after_activation"})
        net = made.build((1, 8, 8), 10)
        places = [m.place for m in net.modules() if isinstance(m, Dropout)]
        assert len(places) == len(set(places)) == {"resnet": 7, "highway": 8}[model]
    assert math.prod(net(torch.zeros(3, 1, 8, 8)).shape) == 30
