"""Architectures, the places of normalization and dropout, and initial weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from normbench.models import MODELS
from normbench.models.init import Init, initialize, initialize_from_batch
from normbench.nn.layers import AlphaDropout, Conv2d, Dropout, Linear
from normbench.norms import NORMS
from normbench.norms.weightnorm import WeightNormed
from normbench.planning.net_cost import refusal

SMALL = {
    "mlp": {"depth": 3, "width": 12},
    "cnn": {"depth": 3, "width": 4},
    "resnet": {"depth": 8, "width": 4},
    "highway": {"depth": 3, "width": 12},
    "deep_linear": {"depth": 3, "width": 12},
    "allconv": {"width": 4},
    "lstm": {"depth": 2, "width": 12},
    "rnn": {"depth": 2, "width": 12},
}
SHAPE = (1, 8, 8)
LARGER = {"allconv": (1, 12, 12)}  # it needs larger images


def shape(model):
    return LARGER.get(model, SHAPE)


def options(model="mlp", norm="none", **fields):
    section = {"name": norm} if isinstance(norm, str) else norm
    values = {**SMALL[model], "norm": section, **fields}
    return MODELS[model].model_validate({"name": model, **values}).resolve()


def built(*args, seed=0, **fields):
    made = options(*args, **fields)
    net = made.build(shape(made.name), 10)
    initialize(net, made.init, seed)
    return net


PAIRS = [(m, n) for m in MODELS for n in NORMS if options(m, n).refuses(shape(m), 20) is None]


def test_only_these_pairs_are_refused():
    """They lack residual branches, images or activations, or recurrent cells break their assumptions."""
    refused = {(m, n) for m in MODELS for n in NORMS} - set(PAIRS)
    recurrent = {(m, n) for m in ("lstm", "rnn") for n in NORMS if NORMS[n].subtracts_mean} - {
        ("lstm", "batchnorm"),
        ("rnn", "batchnorm"),
    }
    assert refused == recurrent | {
        *((m, "fixup") for m in MODELS if m != "resnet"),
        *((m, "selu") for m in ("lstm", "rnn", "deep_linear")),
        *((m, "instancenorm") for m in MODELS if not MODELS[m].images),
        ("allconv", "instancenorm"),  # 12x12 pixels become one
    }


@pytest.mark.parametrize("position", ["before_activation", "after_activation", "layer_input"])
@pytest.mark.parametrize(("model", "norm"), PAIRS)
def test_every_pair_gives_logits_and_finite_gradients(model, norm, position):
    torch.manual_seed(0)
    reason = refusal(options(model, norm, norm_position=position), shape(model), 10, 20)
    if reason is not None:  # the only channel of the images has no groups
        assert (position, shape(model)[0]) == ("layer_input", 1)
        assert "groups" in reason
        return
    net = built(model, norm, norm_position=position)
    x = torch.randn(20, *shape(model))
    initialize_from_batch(net, x)
    logits = net(x)
    assert logits.shape == (20, 10)
    gradients = torch.autograd.grad(logits.square().sum(), list(net.parameters()))
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    assert net.eval()(x[:1]).shape == (1, 10)


def names(block: nn.Module) -> list[str]:
    return [name for name, _ in block.named_children()]


ORDERS = {
    ("before_activation", "none"): ["layer", "norm", "activation"],
    ("after_activation", "none"): ["layer", "activation", "norm"],
    ("layer_input", "none"): ["norm", "layer", "activation"],
    ("before_activation", "before_norm"): ["layer", "dropout_before_norm", "norm", "activation"],
    ("before_activation", "after_norm"): ["layer", "norm", "dropout_after_norm", "activation"],
    ("before_activation", "after_activation"): ["layer", "norm", "activation", "dropout_after_activation"],
    ("after_activation", "before_norm"): ["layer", "activation", "dropout_before_norm", "norm"],
    ("layer_input", "after_norm"): ["norm", "dropout_after_norm", "layer", "activation"],
}


@pytest.mark.parametrize(("position", "placement"), ORDERS)
def test_the_parts_of_a_hidden_layer_are_in_order(position, placement):
    dropout = {"rate": 0.1, "placement": placement}
    net = built("mlp", "batchnorm", norm_position=position, dropout=dropout)
    assert names(net.hidden[1]) == ORDERS[position, placement]


def test_dropout_at_input_and_classifier_is_there_once():
    for placement, place in (("input", "before.0"), ("classifier", "late.0")):
        for norm, kind in (("batchnorm", Dropout), ("selu", AlphaDropout)):
            net = built("mlp", norm, dropout={"rate": 0.25, "placement": placement})
            found = {m.place: m for m in net.modules() if isinstance(m, (Dropout, AlphaDropout))}
            assert list(found) == [place]
            assert type(found[place]) is kind
            assert float(found[place].rate) == 0.25


def test_a_bias_that_the_norm_cancels_is_left_out():
    cancelling = {"batchnorm", "mean_only_batchnorm", "weightnorm_mean_only_batchnorm", "batch_renorm"}
    cancelling |= {"whitening", "whitening_newton", "instancenorm"}
    for norm in set(NORMS) - {"fixup"}:  # which has scalar biases of its own
        cancelled = norm in cancelling
        assert (built("mlp", norm).hidden[0].layer.bias is None) == cancelled
        assert built("mlp", norm, bias=True).hidden[0].layer.bias is not None
        assert built("mlp", norm, bias=False).hidden[0].layer.bias is None
        assert built("mlp", norm).classifier.bias is not None
    for position in ("after_activation", "layer_input"):
        assert built("mlp", "batchnorm", norm_position=position).hidden[0].layer.bias is not None
    dropout = {"rate": 0.1, "placement": "before_norm"}
    assert built("mlp", "batchnorm", dropout=dropout).hidden[0].layer.bias is not None


def test_selu_sets_activation_and_initial_weights_unless_the_config_has_a_scheme():
    made = options("mlp", "selu", activation="tanh", norm_position="layer_input")
    assert (made.activation, made.norm_position, made.init.scheme) == ("selu", "before_activation", "lecun")
    assert options("mlp", "selu", init={"scheme": "he"}).init.scheme == "he"
    assert options("mlp", "weightnorm").init == Init(scheme="normal", std=0.05)
    assert options("mlp", {"name": "weightnorm", "init_from_data": False}).init.scheme == "default"
    assert options("mlp").init == Init(scheme="default")


def test_cnn_pools_after_every_second_convolution_at_most_three_times():
    net = built("cnn", depth=8, width=2)
    kinds = [type(part).__name__[:3] for part in net.hidden]
    assert kinds == ["Seq", "Seq", "Max", "Seq", "Seq", "Max", "Seq", "Seq", "Max", "Seq", "Seq"]
    widths = [part.layer.out_channels for part in net.hidden if hasattr(part, "layer")]
    assert widths == [2, 2, 4, 4, 8, 8, 16, 16]
    assert net.classifier.in_features == 16
    assert built("cnn", depth=2, width=4, head="flatten").classifier.in_features == 4 * 4 * 4


def test_images_too_small_for_the_poolings_are_refused():
    cnn = options("cnn", depth=6)
    assert cnn.refuses((1, 8, 8), 20) is None
    assert cnn.refuses((1, 8, 7), 20) == "3 poolings need images of at least 8x8, these are 8x7"
    assert options("cnn", depth=2).refuses((1, 4, 4), 20) is None


def test_refusals_name_what_is_wrong():
    assert "single numbers" in options("mlp", "instancenorm").refuses(SHAPE, 20)
    assert "1x1 images" in options("cnn", "instancenorm", depth=7).refuses(SHAPE, 20)
    assert options("cnn", "instancenorm", depth=6).refuses(SHAPE, 20) is None
    for norm in ("groupnorm", "weight_standardization"):
        assert refusal(options("mlp", norm, width=10), SHAPE, 10, 20) == (
            "groups: 4 does not divide the 10 features of one of its layers"
        )
        assert refusal(options("mlp", {"name": norm, "groups": 5}, width=10), SHAPE, 10, 20) is None
    assert "with variance 0" in refusal(options("mlp", {"name": "groupnorm", "groups": 12}), SHAPE, 10, 20)
    assert refusal(options("cnn", {"name": "groupnorm", "groups": 4}), SHAPE, 10, 20) is None
    assert "singular" in options("mlp", "whitening").refuses(SHAPE, 15)
    assert options("mlp", {"name": "whitening", "group_size": 15}).refuses(SHAPE, 15) is None
    assert "residual" in options("cnn", "fixup").refuses(SHAPE, 20)


def test_batch_statistics_of_one_value_are_refused():
    assert "at least 2" in options("mlp", "batchnorm").refuses(SHAPE, 1)
    assert options("mlp", "batchnorm").refuses(SHAPE, 2) is None
    deep = options("cnn", "batchnorm", depth=7)  # its last convolution sees one pixel
    assert "at least 2" in deep.refuses(SHAPE, 1)
    assert options("cnn", "batchnorm", depth=6).refuses(SHAPE, 1) is None
    assert options("mlp", "layernorm").refuses(SHAPE, 1) is None


FAN_IN, FAN_OUT = 300, 500
SPREAD = {  # scheme -> standard deviation of the weights
    "default": math.sqrt(1 / (3 * FAN_IN)),
    "normal": 0.05,
    "xavier": math.sqrt(2 / (FAN_IN + FAN_OUT)),
    "he": math.sqrt(2 / FAN_IN),
    "lecun": math.sqrt(1 / FAN_IN),
}


@pytest.mark.parametrize("gain", [1.0, 3.0])
@pytest.mark.parametrize("scheme", SPREAD)
def test_initial_weights_have_the_variance_of_their_scheme(scheme, gain):
    layer = nn.Sequential(Linear(FAN_IN, FAN_OUT))
    initialize(layer, Init(scheme=scheme, gain=gain).resolve({}), seed=1)
    weight, bias = layer[0].weight.detach(), layer[0].bias.detach()
    assert abs(float(weight.mean())) < 4 * gain * SPREAD[scheme] / math.sqrt(weight.numel())
    assert float(weight.std()) == pytest.approx(gain * SPREAD[scheme], rel=0.01)
    if scheme == "default":
        assert float(weight.abs().max()) <= gain / math.sqrt(FAN_IN)
        assert float(bias.std()) == pytest.approx(gain * SPREAD[scheme], rel=0.1)
    else:
        assert not bias.any()


def test_fan_in_of_a_convolution_counts_the_kernel():
    layer = nn.Sequential(Conv2d(50, 80, 3))
    initialize(layer, Init(scheme="he"), seed=1)
    assert float(layer[0].weight.detach().std()) == pytest.approx(math.sqrt(2 / 450), rel=0.02)


@pytest.mark.parametrize(("inputs", "outputs"), [(20, 20), (30, 12), (12, 30)])
def test_orthogonal_weights(inputs, outputs):
    layer = nn.Sequential(Linear(inputs, outputs))
    initialize(layer, Init(scheme="orthogonal", gain=2.0), seed=1)
    w = layer[0].weight.detach()
    product = w @ w.T if outputs <= inputs else w.T @ w
    torch.testing.assert_close(product, 4 * torch.eye(len(product)), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("model", "norm"), [pair for pair in PAIRS if pair[1] != "fixup"])
def test_equal_names_start_equal_in_every_variant_and_differ_by_seed(model, norm):
    init = {"scheme": "he"}
    plain, other = (dict(built(model, n, init=init).named_parameters()) for n in ("none", norm))
    shared = [key for key in plain if plain[key].dim() > 1 and key in other]
    assert len(shared) == sum(parameter.dim() > 1 for parameter in plain.values()) >= 4
    assert all(torch.equal(plain[key], other[key]) for key in shared)
    again = dict(built(model, norm, init=init, seed=1).named_parameters())
    assert not any(torch.equal(again[key], other[key]) for key in shared)


@pytest.mark.parametrize("norm", ["weightnorm", "weightnorm_mean_only_batchnorm"])
@pytest.mark.parametrize("model", [m for m in MODELS if m not in ("lstm", "rnn")])
def test_weightnorm_starts_each_layer_at_mean_0_and_variance_1(model, norm):
    """On the first batch, from the first layer to the last, by g = 1/std(t) and b = -mean(t)/std(t)."""
    torch.manual_seed(1)
    net = built(model, norm, dropout={"rate": 0.5, "placement": "after_activation"}).double()
    x = torch.randn(40, *shape(model), dtype=torch.float64) * 3 + 1
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    initialize_from_batch(net, x)
    assert all(torch.equal(before[name], buffer) for name, buffer in net.named_buffers())
    assert net.training
    for module in net.modules():
        if isinstance(module, (Dropout, AlphaDropout)):
            module.eval()
    seen = []

    def check(module, inputs, output):
        values = output.detach().movedim(1, 0).flatten(1)
        if module.bias is not None:
            torch.testing.assert_close(values.mean(1), torch.zeros(len(values)).double(), atol=1e-9, rtol=0)
        torch.testing.assert_close(
            values.std(1, correction=0), torch.ones(len(values)).double(), atol=1e-9, rtol=0
        )
        seen.append(module)

    for module in net.modules():
        if isinstance(module, WeightNormed):
            module.register_forward_hook(check)
    net(x)
    assert len(seen) == sum(isinstance(module, WeightNormed) for module in net.modules()) >= 4
