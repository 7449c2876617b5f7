"""What a net takes, against counts by hand and against the built net."""

from typing import ClassVar, Literal

import pytest
import torch
from torch import nn

from normbench.errors import PlanError
from normbench.models import MODELS
from normbench.models.base import Dropout
from normbench.models.init import Init
from normbench.norms import NORMS
from normbench.planning import net_cost as module
from normbench.planning.net_cost import measure, net_cost, refusal
from normbench.registry import restored

IMAGE = (1, 28, 28)


def options(name, norm="none", **given):
    return MODELS[name](norm=norm, **given)


def test_flops_of_a_convolutional_net():
    cost = net_cost(options("cnn", depth=2, width=4), IMAGE, 10)
    places = 28 * 28
    first, second, head = 9 * 1 * 4 * places, 9 * 4 * 4 * places, 4 * 10  # pooling follows the second
    assert cost.forward_flops == 2 * (first + second + head)
    assert cost.train_flops == 2 * (2 * first + 3 * second + 3 * head)


@pytest.mark.parametrize("norm", ["none", "batchnorm"])
def test_flops_of_a_recurrent_net(norm):
    cost = net_cost(options("lstm", norm, width=20), IMAGE, 10)
    inputs, recurrent, head = 28 * 28 * 80, 28 * 20 * 80, 20 * 10
    assert cost.forward_flops == 2 * (inputs + recurrent + head)
    # no gradient in the images, nor in the first state
    assert cost.train_flops == 2 * (2 * inputs + 3 * recurrent - 20 * 80 + 3 * head)


@pytest.mark.parametrize(
    "norm", ["none", "batchnorm", "layernorm", "weightnorm", "mean_only_batchnorm", "selu"]
)
@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_parameters_and_activations_are_those_of_the_built_net(name, norm):
    model = options(name, norm, depth=2, width=6)
    net = model.build(IMAGE, 10)
    cost = net_cost(model, IMAGE, 10)
    assert cost.parameters == sum(p.numel() for p in net.parameters())
    assert cost.buffers == sum(b.numel() for b in net.buffers())
    seen = []
    for layer in net.modules():
        if not list(layer.children()):
            layer.register_forward_hook(lambda layer, inputs, output: seen.append(output.numel()))
    net(torch.zeros(60, *IMAGE))
    assert cost.activations == sum(seen) // 60


def test_dropout_and_initial_weights_change_nothing_and_are_not_built_again(monkeypatch):
    built = []
    monkeypatch.setattr(module, "_known", {})
    monkeypatch.setattr(module, "measure", lambda *args: built.append(args) or measure(*args))
    plain = options("mlp", "batchnorm")
    dropout = Dropout(rate=0.5, placement="after_activation")
    others = [{"dropout": dropout}, {"init": Init(gain=2.0)}, {"norm": {"name": "batchnorm", "eps": 1e-3}}]
    for other in others:
        assert net_cost(MODELS["mlp"](**{"norm": "batchnorm", **other}), IMAGE, 10) == net_cost(
            plain, IMAGE, 10
        )
    assert [one.depth for one, *_ in built] == [1, 2]
    net_cost(options("mlp", "batchnorm", depth=4), IMAGE, 10)  # follows from the two
    assert len(built) == 2
    net_cost(options("mlp", "layernorm", depth=2), IMAGE, 10)
    net_cost(plain, (1, 8, 8), 10)
    assert len(built) == 5


DEEP = [name for name in MODELS if vars(MODELS[name]).get("alike_from") is not None]


@pytest.mark.parametrize("norm", [*NORMS, {"name": "batchnorm", "affine": False}])
@pytest.mark.parametrize("name", DEEP)
def test_a_deep_net_costs_what_two_shallow_ones_say(name, norm):
    chosen = norm if isinstance(norm, str) else norm["name"]
    for position in ("before_activation", "after_activation", "layer_input"):
        for depth, width, more in ((3, 4, {}), (4, 12, {"bias": True}), (7, 8, {"activation": "gelu"})):
            model = MODELS[name](norm=norm, norm_position=position, depth=depth, width=width, **more)
            if NORMS[chosen].needs_images or refusal(model, (2, 4, 4), 5, 60) is not None:
                continue
            assert net_cost(model, (2, 4, 4), 5) == measure(model, (2, 4, 4), 5)


def test_a_plug_in_may_make_each_layer_another(monkeypatch):
    class EveryOther(NORMS["layernorm"]):
        """A normalization of every other layer."""

        name: Literal["every_other"] = "every_other"
        made: ClassVar[list[int]] = []

        def module(self, features):
            self.made.append(features)
            return super().module(features) if len(self.made) % 2 else nn.Identity()

    monkeypatch.setattr(module, "_known", {})
    with restored(NORMS.entries):
        NORMS.add(EveryOther)
        deep = net_cost(options("mlp", "every_other", depth=5, width=10), IMAGE, 10)
    bare = net_cost(options("mlp", "none", depth=5, width=10, bias=True), IMAGE, 10)
    assert deep.parameters == bare.parameters + 3 * 2 * 10
    assert MODELS["deep_linear"].alike_from == 1
    assert "alike_from" not in vars(type("Mine", (MODELS["mlp"],), {"__doc__": "Mine."}))


def test_nothing_of_torchs_random_numbers_is_used_up():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    measure(options("mlp"), IMAGE, 10)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_net_that_cannot_be_built_says_why():
    model = MODELS["mlp"](width=10, norm={"name": "groupnorm", "groups": 4})
    assert refusal(model, IMAGE, 10, 60) == "groups: 4 does not divide the 10 features of one of its layers"
    assert refusal(model.model_copy(update={"width": 12}), IMAGE, 10, 60) is None
    with pytest.raises(PlanError, match="4 does not divide the 10 features"):
        net_cost(model, IMAGE, 10)


@pytest.mark.parametrize(
    "norm", [{"name": "batchnorm", "ghost": 5}, {"name": "batchnorm", "inference": "batch"}]
)
def test_statistics_of_parts_of_a_batch_need_no_whole_batch(norm):
    assert net_cost(options("mlp", norm), IMAGE, 10).parameters == (
        net_cost(options("mlp", "batchnorm"), IMAGE, 10).parameters
    )
