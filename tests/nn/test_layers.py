"""Dropout and alpha dropout: formula, statistics and random numbers. Cross-entropy."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from normbench.nn.functional import cross_entropy
from normbench.nn.layers import AlphaDropout, Dropout, name_places, noise

LOW = -1.0507009873554805 * 1.6732632423543772
F64 = torch.float64


def layer(cls, rate):
    net = name_places(nn.Sequential(cls(rate))).to(F64)
    return net, net[0]


def test_dropout_follows_its_formula_with_the_numbers_of_its_place():
    net, drop = layer(Dropout, 0.3)
    x, u = torch.randn(50, 7, dtype=F64), torch.rand(50, 7, dtype=F64)
    assert drop.place == "0"
    with noise({"0": u}):
        y = net(x)
    torch.testing.assert_close(y, x * (u >= 0.3) / 0.7, rtol=1e-12, atol=0)
    assert torch.equal(net.eval()(x), x)


def test_alpha_dropout_follows_its_formula():
    net, _ = layer(AlphaDropout, 0.3)
    x, u = torch.randn(50, 7, dtype=F64), torch.rand(50, 7, dtype=F64)
    d, q = (u >= 0.3).to(F64), 0.7
    a = (q + LOW**2 * q * (1 - q)) ** -0.5
    with noise({"0": u}):
        torch.testing.assert_close(
            net(x), a * (x * d + LOW * (1 - d)) - a * (1 - q) * LOW, rtol=1e-12, atol=1e-12
        )
    assert torch.equal(net.eval()(x), x)


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.7])
def test_alpha_dropout_keeps_mean_0_and_variance_1(rate):
    torch.manual_seed(0)
    net, _ = layer(AlphaDropout, rate)
    y = net(torch.randn(1_000_000, dtype=F64))
    assert abs(float(y.mean())) < 0.01
    assert abs(float(y.var()) - 1) < 0.01


def test_dropout_keeps_the_mean_and_drops_its_share():
    torch.manual_seed(0)
    net, _ = layer(Dropout, 0.25)
    y = net(torch.ones(400_000, dtype=F64))
    assert abs(float(y.mean()) - 1) < 0.005
    assert abs(float((y == 0).double().mean()) - 0.25) < 0.005


def test_a_rate_of_zero_changes_nothing():
    x = torch.randn(20, 3, dtype=F64)
    for cls in (Dropout, AlphaDropout):
        assert torch.equal(layer(cls, 0.0)[0](x), x)


def test_cross_entropy_equals_torchs_with_its_gradient():
    logits, labels = torch.randn(30, 10, dtype=F64, requires_grad=True), torch.randint(10, (30,))
    ours, theirs = cross_entropy(logits, labels), nn.functional.cross_entropy(logits, labels)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    (a,), (b,) = torch.autograd.grad(ours, logits), torch.autograd.grad(theirs, logits)
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-15)
