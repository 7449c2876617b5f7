"""activations, gradients and weights against numpy and plain torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.engine import runs_of
from helpers.probes import Plain, measured, of_layer, probe, small
from torch.func import functional_call

from normbench.nn.layers import ACTIVATIONS
from normbench.probes.activations import largest_slope, percentiles, saturation

EXECUTORS = ["vectorized", "looped"]


def activations_of(plain):
    """Inputs and outputs of each hidden layer's activation."""
    seen = {}
    hooks = [
        module.register_forward_hook(lambda m, i, o, n=name: seen.__setitem__(n, (i[0], o)))
        for name, module in plain.net.named_modules()
        if name.endswith(".activation")
    ]
    with torch.no_grad():
        plain.logits({})
    for hook in hooks:
        hook.remove()
    return {name.removesuffix(".activation"): pair for name, pair in seen.items()}


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("step", [0, 3, 6])
def test_activations_against_numpy(executor, step):
    runs = small(model={"activation": "tanh", "norm": "batchnorm"}, optimizer={"lr": 2.0})
    rows, *_ = measured(runs, probe("activations", bins=4, low=-0.5, high=0.5), executor=executor)
    for index, run in enumerate(runs):
        found = rows[run.run_id, step]
        reference = activations_of(Plain(runs, index, step))
        assert {layer for layer, _ in found} == set(reference)
        for layer, (x, y) in reference.items():
            x, y = x.numpy(), y.numpy()
            slope = 1 - np.tanh(x) ** 2
            expected = {
                "input_mean": x.mean(),
                "input_std": x.std(),
                "mean": y.mean(),
                "std": y.std(),
                "saturated": (slope < 0.05).mean(),
                "dead": (slope < 0.05).all(0).mean(),
                **{f"input_p{p}": np.percentile(x, p) for p in (15, 50, 85)},
            }
            edges = [-np.inf, -0.25, 0, 0.25, np.inf]
            for centre, share in zip(
                (-0.375, -0.125, 0.125, 0.375), np.histogram(y, edges)[0] / y.size, strict=True
            ):
                expected[f"density@{centre:g}"] = share
            assert {what for at, what in found if at == layer} == {f"activations.{name}" for name in expected}
            for name, value in expected.items():
                assert found[layer, f"activations.{name}"] == pytest.approx(value, rel=1e-9, abs=1e-12), name


def test_one_unit_has_percentiles_of_its_own():
    runs = small()
    rows, *_ = measured(runs, probe("activations", unit=3, steps=[0]))
    (x, _), *_ = activations_of(Plain(runs, 0, 0)).values()
    for percent in (15, 50, 85):
        found = rows[runs[0].run_id, 0]["hidden.0", f"activations.input_p{percent}"]
        assert found == pytest.approx(np.percentile(x[:, 3].numpy(), percent))


def test_percentiles_of_many_values_are_those_of_an_even_part():
    values = torch.randn(100_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = [float(value) for value in percentiles(values, (15, 50, 85))]
    assert found == pytest.approx(np.percentile(values.numpy(), (15, 50, 85)), abs=0.05)
    grid = torch.arange(64 * 64 * 32, dtype=torch.float64)
    assert float(percentiles(grid, (50,))[0]) == pytest.approx(len(grid) / 2, rel=0.01)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_largest_slope(name):
    known = {"sigmoid": 0.25, "elu": 1, "selu": 1.7580993, "gelu": 1.1289}
    assert largest_slope(ACTIVATIONS[name]()) == pytest.approx(known.get(name, 1), rel=1e-3)


def test_saturated_and_dead_units_by_hand():
    x = torch.tensor([[-1.0, -1.0, 2.0], [-2.0, 3.0, 1.0]])
    share, dead = saturation(ACTIVATIONS["relu"](), x)
    assert float(share) == pytest.approx(3 / 6)
    assert float(dead) == pytest.approx(1 / 3)
    x[0, 0] = float("nan")
    assert all(value.isnan() for value in saturation(ACTIVATIONS["tanh"](), x))


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_gradients_against_a_really_made_update(executor, momentum):
    runs = small(optimizer={"lr": 0.5, "momentum": momentum})
    rows, *_ = measured(runs, probe("gradients", every=1), executor=executor)
    for index, run in enumerate(runs):
        for step in (0, 4):
            now, then = Plain(runs, index, step), Plain(runs, index, step + 1)
            grads = now.grads(now.params)
            update = {name: then.params[name] - now.params[name] for name in now.params}
            whole = torch.cat([value.flatten() for value in update.values()]).square().sum()
            found = rows[run.run_id, step]
            for layer in ("hidden.0", "hidden.1", "classifier"):
                moved = of_layer(update, layer)
                expected = {
                    "norm": of_layer(grads, layer).norm(),
                    "update_ratio": moved.norm() / of_layer(now.params, layer).norm(),
                    "update_share": moved.square().sum() / whole,
                }
                for name, value in expected.items():
                    assert found[layer, f"gradients.{name}"] == pytest.approx(float(value), rel=1e-8)
            shares = [value for (_, what), value in found.items() if what == "gradients.update_share"]
            assert sum(shares) == pytest.approx(1)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop"])
def test_the_coming_update_is_the_optimizers_own(optimizer):
    runs = small(optimizer={"name": optimizer, "lr": 0.01, "weight_decay": 0.1, "clip_norm": 0.5})
    rows, *_ = measured(runs, probe("gradients", steps=[2]))
    now, then = Plain(runs, 1, 2), Plain(runs, 1, 3)
    moved = of_layer({name: then.params[name] - now.params[name] for name in now.params}, "hidden.1")
    found = rows[runs[1].run_id, 2]["hidden.1", "gradients.update_ratio"]
    assert found == pytest.approx(float(moved.norm() / of_layer(now.params, "hidden.1").norm()), rel=1e-8)


def test_weights_of_a_plain_net():
    runs = small(optimizer={"lr": 0.5})
    rows, *_ = measured(runs, probe("weights"))
    plain = Plain(runs, 1, 3)
    found = rows[runs[1].run_id, 3]
    for layer, name in (("hidden.0", "hidden.0.layer"), ("classifier", "classifier")):
        norm, bias = plain.params[f"{name}.weight"].norm(), plain.params[f"{name}.bias"].norm()
        own = {what: value for (at, what), value in found.items() if at == layer}
        expected = {"weights.norm": float(norm), "weights.bias_norm": float(bias)}
        assert own == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("norm", ["weightnorm", "weight_standardization", "scaled_weight_standardization"])
def test_effective_weights_are_those_that_multiply_the_inputs(norm):
    # a linear layer at unit vectors shows its weights
    runs = small(model={"norm": norm, "bias": False, "width": 12}, optimizer={"lr": 0.5})
    rows, *_ = measured(runs, probe("weights"))
    plain, found = Plain(runs, 0, 3), rows[runs[0].run_id, 3]
    layer = plain.net.hidden[1].layer
    own = {n: plain.params[f"hidden.1.layer.{n}"] for n, _ in layer.named_parameters()}
    shown = functional_call(layer, own, (torch.eye(12, dtype=torch.float64),))
    assert found["hidden.1", "weights.norm"] == pytest.approx(float(shown.norm()), rel=1e-9)
    v = own["weight"].norm()
    assert found["hidden.1", "weights.v_norm"] == pytest.approx(float(v))
    assert found["hidden.1", "weights.effective_rate"] == pytest.approx(0.5 / float(v) ** 2)
    if "gain" in own:
        assert found["hidden.1", "weights.g_norm"] == pytest.approx(float(own["gain"].norm()))


@pytest.mark.parametrize("norm", ["none", "batchnorm", "layernorm", "mean_only_batchnorm", "rmsnorm"])
@pytest.mark.parametrize("position", ["before_activation", "after_activation", "layer_input"])
def test_an_effective_rate_where_the_scale_of_the_weights_is_cancelled(norm, position):
    runs = small(model={"norm": norm, "norm_position": position, "bias": False})
    rows, *_ = measured(runs, probe("weights", steps=[0]))
    found = rows[runs[0].run_id, 0]
    plain = Plain(runs, 0, 0)
    weight = plain.params["hidden.0.layer.weight"]
    with torch.no_grad():
        same = torch.allclose(
            plain.logits({"hidden.0.layer.weight": 30 * weight}), plain.logits({}), rtol=0.01
        )
    assert (("hidden.0", "weights.effective_rate") in found) == same
    if same:
        rate = found["hidden.0", "weights.effective_rate"]
        assert rate == pytest.approx(0.1 / float(weight.square().sum()))
    assert ("classifier", "weights.effective_rate") not in found


@pytest.mark.parametrize(
    ("model", "layers"),
    [
        ({"name": "mlp", "depth": 2}, ["hidden.0", "hidden.1", "classifier"]),
        ({"name": "highway", "depth": 2, "width": 4}, ["hidden.0", "hidden.1", "classifier"]),
        ({"name": "cnn", "depth": 3, "width": 4}, ["hidden.0", "hidden.1", "hidden.3", "classifier"]),
        ({"name": "lstm", "depth": 1, "width": 4}, ["hidden.0", "classifier"]),
        (
            {"name": "resnet", "depth": 8, "width": 4},
            ["first", *(f"hidden.{i}.branch.{j}" for i in range(3) for j in range(2)), "classifier"],
        ),
    ],
)
def test_the_layers_of_each_architecture(model, layers):
    runs = runs_of(seeds=2, model=model, train={"steps": 1, "eval_every": 1})
    rows, *_ = measured(runs, probe("weights"), probe("gradients"))
    found = rows[runs[0].run_id, 0]
    for quantity in ("weights.norm", "gradients.norm"):
        assert [layer for layer, what in found if what == quantity] == layers
