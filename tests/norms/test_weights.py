"""The normalizations that act on weights and their initialization: weight standardization and Fixup."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import pytest
import torch
from helpers.plain_norms import PlainStandardized
from torch import Tensor, nn
from torch.nn import functional as F

from normbench.models.base import Model
from normbench.models.init import initialize
from normbench.models.mlp import MLP
from normbench.nn.layers import ACTIVATIONS, Conv2d, Linear, Scaled
from normbench.norms import NORMS
from normbench.norms.fixup import FixupLayer
from normbench.norms.scaled_weight_standardization import gain

F64 = torch.float64
SCALED = "scaled_weight_standardization"


@pytest.mark.parametrize("kind", ["2d", "4d"])
@pytest.mark.parametrize("name", ["weight_standardization", SCALED])
def test_standardized_weights_follow_the_formula(name, kind):
    torch.manual_seed(0)
    plain = (Linear(9, 5) if kind == "2d" else Conv2d(3, 5, 3, padding=1, stride=2)).to(F64)
    x = torch.randn((30, 9) if kind == "2d" else (8, 3, 6, 6), dtype=F64)
    ours, theirs = NORMS[name](name=name).wrap(plain), PlainStandardized(plain, name == SCALED)
    ours = ours.to(F64)
    theirs = theirs.to(F64)
    if name == SCALED:
        ours.gain.data.uniform_(0.5, 2)
        theirs.gain.data.copy_(ours.gain.data)
    a, b = ours(x), theirs(x)
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)
    upstream, params = torch.randn_like(a), dict(theirs.named_parameters())
    mine = torch.autograd.grad(a, list(ours.parameters()), upstream)
    its = torch.autograd.grad(b, [params[key] for key, _ in ours.named_parameters()], upstream)
    torch.testing.assert_close(mine, its, rtol=1e-9, atol=1e-11)
    # the mean of the weights has no effect, so the gradient has no part along it
    (slope,) = (g for g, (key, _) in zip(mine, ours.named_parameters(), strict=True) if key == "weight")
    assert float(slope.flatten(1).sum(1).abs().max()) < 1e-12


def test_activation_gains_are_those_of_the_paper():
    """For ReLU it is sqrt(2 / (1 - 1/pi)); Brock et al. give the others, from a simulation."""
    assert gain(ACTIVATIONS["relu"]()) == pytest.approx(math.sqrt(2 / (1 - 1 / math.pi)), rel=1e-6)
    published = {"tanh": 1.5939, "gelu": 1.7015, "selu": 1.0008, "sigmoid": 4.8038, "identity": 1.0}
    for name, value in published.items():
        assert gain(ACTIVATIONS[name]()) == pytest.approx(value, rel=3e-3)


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_scaled_weight_standardization_keeps_the_variance_over_many_layers(activation):
    model = MLP(name="mlp", depth=20, width=256, norm={"name": SCALED}, activation=activation, bias=False)
    net = model.resolve().build((1, 16, 16), 10)
    initialize(net, model.resolve().init, seed=0)
    torch.manual_seed(2)
    x = torch.randn(500, 256)
    for block in net.hidden:
        x = block.layer(x).detach()
        # the outputs of a layer have another mean than 0, but their second moment stays
        assert 0.5 < float(x.square().mean()) < 2
        x = block.activation(x)
    assert isinstance(block.activation, Scaled)


def test_the_inputs_of_a_normalizer_free_block_are_divided_by_their_standard_deviation():
    norm = NORMS[SCALED](name=SCALED, alpha=0.5)
    alpha, beta = zip(*(norm.branch_scales(index) for index in range(4)), strict=True)
    variance = 1.0
    for a, b in zip(alpha, beta, strict=True):
        assert b == pytest.approx(math.sqrt(variance))
        variance += a**2  # f(x / beta) has variance 1
    assert NORMS["none"](name="none").branch_scales(3) == (1.0, 1.0)


class Residual(Model):
    """A small residual MLP with branches of two layers, for Fixup."""

    name: Literal["residual"] = "residual"
    depth: int = 4
    width: int = 20

    paper: ClassVar[str] = ""

    def branches(self) -> int:
        return self.depth

    def assemble(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        def layer(last: bool) -> nn.Module:
            return self.norm.wrap_in_branch(Linear(self.width, self.width), self.depth, 2, last)

        stem = self.norm.wrap(Linear(math.prod(input_shape), self.width))
        blocks = [(layer(last=False), layer(last=True)) for _ in range(self.depth)]
        return Net(stem, blocks, self.norm.wrap_classifier(Linear(self.width, classes)))


class Net(nn.Module):
    def __init__(self, stem: nn.Module, blocks: list, head: nn.Module) -> None:
        super().__init__()
        self.stem, self.head = stem, head
        self.blocks = nn.ModuleList(nn.ModuleList(pair) for pair in blocks)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x.flatten(1)))
        for one, two in self.blocks:
            x = F.relu(x + two(F.relu(one(x))))
        return self.head(x)


def fixup_net(depth: int) -> tuple[nn.Module, nn.Module]:
    """The net with Fixup, and the plain net with the same draws at He's scale."""
    nets = []
    for norm in ("fixup", "none"):
        model = Residual(name="residual", depth=depth, norm={"name": norm}, init={"scheme": "he"}).resolve()
        assert model.refuses((1, 8, 8), 20) is None
        nets.append(model.build((1, 8, 8), 10))
        initialize(nets[-1], model.init, seed=3)
    return nets[0], nets[1]


@pytest.mark.parametrize("depth", [1, 9])
def test_fixup_starts_as_the_paper_says(depth):
    net, plain = fixup_net(depth)
    assert torch.equal(net.stem.weight, plain.stem.weight)
    for (one, two), (he, _) in zip(net.blocks, plain.blocks, strict=True):
        torch.testing.assert_close(one.weight, he.weight * depth**-0.5)  # L^(-1/(2m-2)), m = 2
        assert not two.weight.any()
        assert float(two.multiplier.detach()) == 1
        assert one.multiplier is None
    assert not net.head.weight.any()
    scalars = [p for m in net.modules() if isinstance(m, FixupLayer) for p in (m.bias_before, m.bias_after)]
    assert all(p is None or (p.dim() == 0 and not p.any()) for p in scalars)
    x = torch.randn(7, 1, 8, 8)
    assert not net(x).any()  # every branch and the classifier are 0


def test_a_fixup_layer_follows_its_formula():
    torch.manual_seed(4)
    for options, plain in (((0.5, True), Conv2d(3, 4, 3, padding=1)), ((1.0, False), Linear(6, 4))):
        layer = FixupLayer(plain, *options)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.add_(torch.randn_like(parameter))
        x = torch.randn((5, 3, 6, 6) if options[1] else (5, 6))
        product = F.conv2d if options[1] else F.linear
        y = product(x + layer.bias_before, layer.weight, **({"padding": 1} if options[1] else {}))
        if options[1]:
            y = y * layer.multiplier
        torch.testing.assert_close(layer(x), y + layer.bias_after)


def test_fixup_trains_a_net_that_diverges_without_it():
    """With 40 branches, He's initialization overflows at a learning rate that suits Fixup."""
    torch.manual_seed(5)
    x, y = torch.randn(64, 1, 8, 8), torch.arange(64) % 10
    last = []
    for net in fixup_net(40):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(100):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
        last.append(float(loss.detach()))
    assert last[0] < 0.7 * math.log(10)
    assert not last[1] < last[0]  # nan, or larger


def test_fixup_refuses_nets_without_branches():
    norm = NORMS["fixup"](name="fixup")
    assert "residual branches" in norm.refuses("mlp", 20)
    assert norm.refuses("resnet", 20, 4, branches=9) is None
