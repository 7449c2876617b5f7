"""The probes that move the weights, each against a plain loop, and sharpness against the whole Hessian."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.engine import runs_of
from helpers.probes import Plain, measured, of_layer, probe, small
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from normbench.nn.functional import second_derivatives
from normbench.norms import NORMS
from normbench.probes import StepParts
from normbench.probes.sharpness import largest_eigenvalue

LAYERS = ["hidden.0", "hidden.1", "classifier"]
NORMED = [{"norm": "none"}, {"norm": "batchnorm"}, {"norm": "weightnorm", "activation": "relu"}]


def net_value(values, name):
    return values["net", name]


@pytest.mark.parametrize("model", NORMED)
@pytest.mark.parametrize("executor", ["vectorized", "looped"])
def test_ics_by_really_moving_the_lower_layers(model, executor):
    runs = small(model=model, optimizer={"lr": 0.1})
    rows, *_ = measured(runs, probe("ics"), executor=executor)
    plain = Plain(runs, 1, 3)
    stepped, found = plain.stepped(), rows[runs[1].run_id, 3]
    assert {layer for layer, _ in found} == set(LAYERS[1:])
    for place, layer in enumerate(LAYERS[1:], start=1):
        lower = tuple(f"{name}." for name in LAYERS[:place])
        moved = {n: stepped[n] if n.startswith(lower) else plain.params[n] for n in plain.params}
        before = of_layer(plain.grads(plain.params), layer)
        after = of_layer(plain.grads(moved), layer)
        assert found[layer, "ics.norm"] == pytest.approx(float((before - after).norm()), rel=1e-8)
        cosine = F.cosine_similarity(before, after, dim=0)
        assert found[layer, "ics.cosine"] == pytest.approx(float(cosine), rel=1e-9)


@pytest.mark.parametrize("model", NORMED)
def test_landscape_by_really_taking_the_steps(model):
    runs = small(model=model, optimizer={"name": "adam", "lr": 0.05})
    options = {"low": 0.25, "high": 16.0, "points": 4}
    rows, *_ = measured(runs, probe("landscape", **options))
    plain = Plain(runs, 0, 3)
    start = plain.grads(plain.params)
    flat = torch.cat([value.flatten() for value in start.values()])
    losses, changes, slopes = [], [], []
    for factor in (0.25, 1.0, 4.0, 16.0):
        there = {name: plain.params[name] - 0.05 * factor * start[name] for name in start}
        with torch.no_grad():
            losses.append(float(plain.loss(there)))
        grad = torch.cat([value.flatten() for value in plain.grads(there).values()])
        changes.append(float((grad - flat).norm()))
        slopes.append(changes[-1] / float((0.05 * factor * flat).norm()))
    found = rows[runs[0].run_id, 3]
    expected = {
        "loss_min": min(losses),
        "loss_max": max(losses),
        "change_min": min(changes),
        "change_max": max(changes),
        "smoothness": max(slopes),
    }
    assert found == pytest.approx({("net", f"landscape.{k}"): v for k, v in expected.items()}, rel=1e-8)
    absolute = {"low": 0.0125, "high": 0.8, "points": 4, "relative": False}
    rows, *_ = measured(runs, probe("landscape", **absolute))
    assert rows[runs[0].run_id, 3] == pytest.approx(found, rel=1e-8)


@pytest.mark.parametrize(
    "norm", [name for name in NORMS if name not in ("instancenorm", "fixup", "whitening")]
)
def test_sharpness_against_the_whole_hessian(norm):
    model = {"norm": {"name": norm}, "depth": 1, "width": 6}
    if norm in ("groupnorm", "weight_standardization"):
        model["norm"]["groups"] = 2
    if norm == "whitening_newton":
        model["norm"]["group_size"] = 3
    runs = small(model=model, optimizer={"lr": 0.5})
    rows, *_ = measured(runs, probe("sharpness", iterations=20))
    plain = Plain(runs, 1, 3)
    batch = plain.batch(0)  # the run's first one, at every step
    names, sizes = list(plain.params), [value.numel() for value in plain.params.values()]

    def loss(flat):
        parts = zip(names, flat.split(sizes), strict=True)
        params = {name: part.view_as(plain.params[name]) for name, part in parts}
        return plain.loss(params, batch)

    with second_derivatives():
        flat = torch.cat([value.flatten() for value in plain.params.values()])
        hessian = torch.autograd.functional.hessian(loss, flat)
    largest = float(torch.linalg.eigvalsh(hessian)[-1])
    found = rows[runs[1].run_id, 3]
    assert net_value(found, "sharpness.largest") == pytest.approx(largest, rel=0.01)
    assert net_value(found, "sharpness.times_rate") == pytest.approx(0.5 * largest, rel=0.01)
    assert net_value(found, "sharpness.stable_rate") == pytest.approx(2 / largest, rel=0.01)


@pytest.mark.parametrize("activation", ["relu", "elu", "selu", "gelu", "tanh"])
def test_hessians_by_differences_of_gradients(activation):
    # the functions that serve second derivatives are those of training: same gradients, and H v is theirs
    runs = small(model={"activation": activation, "norm": "batchnorm", "depth": 1, "width": 5})
    plain = Plain(runs, 0, 2)
    generator = torch.Generator().manual_seed(0)
    v = {n: torch.randn(p.shape, generator=generator, dtype=p.dtype) for n, p in plain.params.items()}
    leaves = {name: value.clone().requires_grad_() for name, value in plain.params.items()}
    with second_derivatives():
        grads = torch.autograd.grad(plain.loss(leaves), list(leaves.values()), create_graph=True)
        product = sum((g * v[n]).sum() for n, g in zip(leaves, grads, strict=True))
        found = torch.autograd.grad(product, list(leaves.values()))
    for grad, once in zip(grads, plain.grads(plain.params).values(), strict=True):
        torch.testing.assert_close(grad, once)
    eps = 1e-6
    up = plain.grads({n: p + eps * v[n] for n, p in plain.params.items()})
    down = plain.grads({n: p - eps * v[n] for n, p in plain.params.items()})
    for name, value in zip(leaves, found, strict=True):
        torch.testing.assert_close(value, (up[name] - down[name]) / (2 * eps), rtol=1e-4, atol=1e-6)


def test_recurrent_and_convolutional_nets_have_a_sharpness():
    for model in (
        {"name": "lstm", "depth": 1, "width": 4},
        {"name": "cnn", "depth": 2, "width": 3, "norm": "batchnorm"},
    ):
        runs = runs_of(seeds=2, model=model, train={"steps": 1, "eval_every": 1, "dtype": "float64"})
        both = [measured(runs, probe("sharpness"), executor=name)[0] for name in ("vectorized", "looped")]
        values = [rows[runs[0].run_id, 0]["net", "sharpness.largest"] for rows in both]
        assert values[0] == pytest.approx(values[1], rel=1e-6)
        assert values[0] > 0


@pytest.mark.parametrize("size", [1, 3, 40])
def test_lanczos_finds_the_largest_algebraic_eigenvalue(size):
    rng = np.random.default_rng(1)
    q, _ = np.linalg.qr(rng.standard_normal((size, size)))
    eigenvalues = np.linspace(-50, 3, size)  # the largest in magnitude is negative
    matrix = torch.tensor(q * eigenvalues @ q.T)
    found = largest_eigenvalue(lambda v: matrix @ v, torch.zeros(size, dtype=torch.float64), 60)
    assert float(found) == pytest.approx(eigenvalues[-1], rel=1e-6)
    # an invariant subspace is found early; what follows adds no eigenvalue
    minus = largest_eigenvalue(lambda v: -2 * v, torch.zeros(size, dtype=torch.float32), 10)
    assert float(minus) == pytest.approx(-2)
    assert largest_eigenvalue(lambda v: v * torch.nan, torch.zeros(size), 5).isnan()


def test_variance_shift_of_dropout_right_before_the_normalization():
    runs = runs_of(
        seeds=2,
        data={"batch_size": 200, "standardize": "feature"},
        model={"depth": 2, "width": 200, "activation": "identity", "norm": "batchnorm",
               "dropout": {"rate": 0.5, "placement": "before_norm"}, "bias": False},
        train={"steps": 60, "eval_every": 60, "dtype": "float64"},
        optimizer={"lr": 0.01},
    )  # fmt: skip
    rows, *_ = measured(runs, probe("variance_shift"))
    for step in (0, 60):
        found = rows[runs[0].run_id, step]
        assert {layer for layer, _ in found} == {"hidden.0", "hidden.1"}
        ratio = found["hidden.0", "variance_shift.ratio"]
        assert ratio == pytest.approx(0.5, rel=0.05)  # Li et al.: the keep probability
        inference = found["hidden.0", "variance_shift.inference"]
        assert ratio == inference / found["hidden.0", "variance_shift.training"]
    plain = Plain(runs, 0, 60)
    seen = {}
    plain.net.hidden[1].norm.register_forward_pre_hook(lambda m, i: seen.__setitem__("x", i[0]))
    with torch.no_grad():
        plain.logits({}, training=False)
    variance = float(seen["x"].var(0, correction=0).mean())
    assert rows[runs[0].run_id, 60]["hidden.1", "variance_shift.inference"] == pytest.approx(variance)


@pytest.mark.parametrize("times", [1.0, 3.0])
def test_forgetting_by_really_moving_the_lower_layers(times):
    runs = small(optimizer={"lr": 2.0})
    rows, *_ = measured(runs, probe("forgetting", times=times))
    plain = Plain(runs, 0, 3)
    stepped, found = plain.stepped(), rows[runs[0].run_id, 3]
    assert [layer for layer, _ in found] == LAYERS
    with torch.no_grad():
        for place, layer in enumerate(LAYERS, start=1):
            moved = dict(plain.params)
            for name, old in plain.params.items():
                if name.startswith(tuple(f"{lower}." for lower in LAYERS[:place])):
                    moved[name] = old + times * (stepped[name] - old)
            rise = float(plain.loss(moved) - plain.loss(plain.params))
            assert found[layer, "forgetting.rise"] == pytest.approx(rise, rel=1e-7)


@pytest.mark.parametrize(
    ("norm", "others", "executor"),
    [("none", 1, "vectorized"), ("batchnorm", 3, "looped"), ("none", 4, "looped")],
)
def test_myopia_by_really_moving_each_layer_alone(norm, others, executor):
    """The batches of step 13 of epochs of 15 steps: its others lie beyond the end of the epoch, too."""
    runs = small(model={"norm": {"name": norm}}, optimizer={"lr": 2.0}, train={"steps": 14, "eval_every": 13})
    rows, *_ = measured(runs, probe("myopia", others=others, steps=[13]), executor=executor)
    for place, run in enumerate(runs):
        plain = Plain(runs, place, 13)
        stepped, found = plain.stepped(), rows[run.run_id, 13]
        assert list(dict.fromkeys(layer for layer, _ in found)) == LAYERS
        with torch.no_grad():
            for layer in LAYERS:
                own = {name: value for name, value in stepped.items() if name.startswith(f"{layer}.")}
                falls = []
                for step in range(13, 14 + others):
                    batch = plain.batch(step)
                    falls.append(
                        float(plain.loss(plain.params, batch) - plain.loss({**plain.params, **own}, batch))
                    )
                here, elsewhere = falls[0], sum(falls[1:]) / others
                assert found[layer, "myopia.here"] == pytest.approx(here, rel=1e-7)
                assert found[layer, "myopia.elsewhere"] == pytest.approx(elsewhere, rel=1e-7)
                assert found[layer, "myopia.share"] == pytest.approx(1 - elsewhere / here, rel=1e-7)


def test_myopia_of_a_training_without_other_batches_is_refused():
    def reason(others, **data):
        run = small(data=data)[0]
        return probe("myopia", others=others).refuses(torch.nn.Identity(), run.settings)

    assert reason(1) is None
    assert reason(14) is None  # 15 batches of 20 are all 300 images
    assert "need 320 training images, and there are 300" in reason(15)
    assert "other batches would hold the images of this one" in reason(1, batch_size=300)


def test_perturbation_by_really_changing_the_first_layer():
    runs = small(model={"activation": "tanh"})
    rows, *_ = measured(runs, probe("perturbation", size=0.02, directions=1))
    plain = Plain(runs, 1, 3)
    weight = plain.params["hidden.0.layer.weight"]
    u = torch.tensor(np.random.default_rng(0).standard_normal(tuple(weight.shape)))
    moved = {"hidden.0.layer.weight": weight + 0.02 * weight.norm() * u / u.norm()}

    def outputs(params):
        own = {**plain.params, **params}
        h, found = plain.x.flatten(1), []
        for index in range(2):
            h = torch.tanh(
                F.linear(h, own[f"hidden.{index}.layer.weight"], own[f"hidden.{index}.layer.bias"])
            )
            found.append(h)
        return [*found, F.linear(h, own["classifier.weight"], own["classifier.bias"])]

    found = rows[runs[1].run_id, 3]
    for layer, h, changed in zip(LAYERS, outputs({}), outputs(moved), strict=True):
        growth = float((changed - h).norm() / h.norm()) / 0.02
        assert found[layer, "perturbation.growth"] == pytest.approx(growth, rel=1e-9)


def test_gradient_noise_against_single_batches():
    runs = small()
    rows, *_ = measured(runs, probe("gradient_noise", batches=5))
    plain = Plain(runs, 0, 3)
    grads = [plain.grads(plain.params, plain.batch(step)) for step in range(3, 8)]
    found = rows[runs[0].run_id, 3]
    for layer in ("net", *LAYERS):
        if layer == "net":
            each = torch.stack([torch.cat([value.flatten() for value in g.values()]) for g in grads])
        else:
            each = torch.stack([of_layer(g, layer) for g in grads])
        trace, norm = float(torch.cov(each.T).trace()), float(each.mean(0).norm())
        assert found[layer, "gradient_noise.variance"] == pytest.approx(trace, rel=1e-8)
        assert found[layer, "gradient_noise.norm"] == pytest.approx(norm, rel=1e-8)
        assert found[layer, "gradient_noise.scale"] == pytest.approx(trace / norm**2, rel=1e-8)


def test_cost_counts_bytes_and_takes_the_time():
    runs = runs_of(seeds=4, model={"depth": 2, "width": 50, "activation": "sigmoid"}, train={"steps": 2})
    rows, *_ = measured(runs, probe("cost"))
    found = {what.removeprefix("cost."): value for (_, what), value in rows[runs[0].run_id, 0].items()}
    assert found["parameter_bytes"] == 4 * (64 * 50 + 50 + 50 * 50 + 50 + 50 * 10 + 10)
    kept = 20 * 64 + 2 * 20 * 50 + 20 * 10  # inputs, the sigmoids' outputs, the shares of the classes
    assert found["saved_bytes"] == 4 * kept + 8 * 20  # and the labels
    assert rows[runs[1].run_id, 0] == rows[runs[0].run_id, 0]


def test_cost_takes_the_fastest_call_after_a_warm_up_and_divides_by_the_runs(monkeypatch):
    now, calls = [0.0], []

    def part(name, seconds):
        def call():
            calls.append(name)
            now[0] += seconds + (100 if calls.count(name) == 1 else calls.count(name) == 2)

        return call

    monkeypatch.setattr("normbench.probes.cost.time.perf_counter", lambda: now[0])
    parts = StepParts(
        runs=2,
        forward=part("forward", 1.0),
        backward=part("backward", 3.0),
        step=part("step", 4.0),
        wait=lambda: None,
        saved_bytes=lambda: 5,
        parameter_bytes=6,
    )
    found = probe("cost", repeats=3).measure_stack(parts)
    expected = {"forward_seconds": 0.5, "backward_seconds": 1.0, "update_seconds": 0.5, "step_seconds": 2.0}
    expected |= {"saved_bytes": 5.0, "parameter_bytes": 6.0}
    assert found == {("net", f"cost.{name}"): value for name, value in expected.items()}
    assert calls == ["forward"] * 4 + ["backward"] * 4 + ["step"] * 4


def test_a_bare_linear_net_has_a_closed_form_hessian():
    # softmax regression on one batch: H = mean over images of (diag p - p p') kron x x', x with a constant 1
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(16, 3, dtype=torch.float64, generator=generator)
    y = torch.randint(4, (16,), generator=generator)
    net = nn.Linear(3, 4).double()
    names = [name for name, _ in net.named_parameters()]

    def loss(*values):
        return F.cross_entropy(functional_call(net, dict(zip(names, values, strict=True)), (x,)), y)

    blocks = torch.autograd.functional.hessian(loss, tuple(net.parameters()))
    sizes = [value.numel() for value in net.parameters()]
    matrix = torch.cat([
        torch.cat([blocks[i][j].reshape(sizes[i], sizes[j]) for j in range(2)], 1) for i in range(2)
    ])  # fmt: skip
    found = largest_eigenvalue(lambda v: matrix @ v, torch.zeros(len(matrix), dtype=torch.float64), 16)
    with torch.no_grad():
        shares, inputs = net(x).softmax(1), F.pad(x, (0, 1), value=1.0)
    closed = sum(
        torch.kron(torch.diag(p) - torch.outer(p, p), torch.outer(one, one))
        for p, one in zip(shares, inputs, strict=True)
    )
    assert float(found) == pytest.approx(float(torch.linalg.eigvalsh(closed / 16)[-1]), rel=1e-8)
