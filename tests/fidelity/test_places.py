"""Which line a sentence names."""

from __future__ import annotations

import importlib.util
import sys
from textwrap import dedent

import pytest
from torch import nn

from normbench.fidelity.fault import own_or_parent, place_in, where
from normbench.fidelity.places import is_own, name_of, own_file, place_of, place_of_error

CODE = dedent(
    """
    import torch
    from torch import nn


    class Base(nn.Module):
        def remember(self, x):
            self.kept = x.mean()


    class Layer(Base):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(2))
            self.calls = []
            self.mix = nn.Linear(2, 2)
            self.late = 0

        def initialize(self, x):
            self.late = x

        def forward(self, x):
            y = self.gain * x + len(self.calls)
            self.gain.data.clamp_(0, 1)
            self.calls.append(1)
            self.remember(x)
            self.mix.weight.div_(2)
            return y / 0
    """
).lstrip()


def line_of(text: str) -> str:
    (number,) = (at for at, line in enumerate(CODE.splitlines(), 1) if text in line)
    return f"own_layer.py:{number}"


@pytest.fixture
def layer(tmp_path):
    path = tmp_path / "own_layer.py"
    path.write_text(CODE)
    spec = importlib.util.spec_from_file_location("own_layer", path)
    sys.modules["own_layer"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module.Layer
    del sys.modules["own_layer"]


def test_the_line_that_changes_an_attribute_comes_first(layer):
    assert place_of(layer, "gain") == line_of("clamp_")
    assert place_of(layer, "calls") == line_of("append")
    assert place_of(layer, "kept") == line_of("self.kept")  # of the base class
    assert place_of(layer, "nothing") == line_of("def forward")
    assert place_of(layer, "nothing", "calls") == line_of("append")


def test_the_line_that_makes_an_attribute_is_named_if_asked(layer):
    assert place_of(layer, "gain", made=True) == line_of("nn.Parameter")
    assert place_of(layer, "late", made=True) == line_of("self.late = x")


def test_a_layer_of_torch_is_named_by_the_layer_that_contains_it(layer):
    net = nn.Sequential(layer(), nn.Linear(2, 2))
    assert own_or_parent(net[0].mix, net) is net[0]
    assert own_or_parent(net[1], net) is net[1]
    assert place_in(net, net[0].mix, "weight") == line_of("self.mix.weight")
    assert place_in(net, net[0].mix, "bias") == line_of("self.mix.weight")
    assert place_in(net, net[1]) == "torch.nn.modules.linear.Linear"
    assert where(net) == line_of("def forward")
    assert name_of(net, net[0]) == "Layer (0)"


def test_what_is_own(layer):
    assert is_own(layer)
    assert not is_own(nn.Linear)
    assert own_file(pytest.__file__) is None
    assert own_file("<string>") is None
    assert own_file(__file__) is not None


def test_an_error_is_placed_in_the_innermost_own_file(layer):
    with pytest.raises(TypeError) as caught:
        layer().forward("text")
    assert place_of_error(caught.value) == line_of("y = self.gain")
    assert place_of_error(ValueError("raised nowhere")) == ""
