"""The options of batch normalization, each against its definition, alone and trained in stacks."""

from __future__ import annotations

import json

import pytest
import torch
from helpers.engine import Trained, data_of, plan_of, runs_of, trainer
from pydantic import ValidationError
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from normbench.models import MODELS
from normbench.nn.layers import Noisy, noise
from normbench.norms import NORMS

F64 = torch.float64
SHAPES = {"2d": (12, 8), "4d": (6, 8, 5, 4)}
close = {"rtol": 1e-9, "atol": 1e-11}


def layer(**options: object) -> nn.Module:
    made = NORMS["batchnorm"](name="batchnorm", **options).module(8).to(F64)
    with torch.no_grad():
        made.weight.uniform_(0.5, 2)
        made.bias.uniform_(-1, 1)
    return made


def column(value: Tensor, x: Tensor) -> Tensor:
    return value.view(1, -1, *[1] * (x.dim() - 2))


def batch(shape: tuple[int, ...]) -> Tensor:
    return (torch.randn(shape, dtype=F64) * 3 + 2).requires_grad_()


def by_hand(made: nn.Module, x: Tensor, detached: bool = False) -> Tensor:
    dims = (0, *range(2, x.dim()))
    mean, var = x.mean(dims, keepdim=True), x.var(dims, keepdim=True, correction=0)
    if detached:
        mean, var = mean.detach(), var.detach()
    return (x - mean) / (var + 1e-5).sqrt() * column(made.weight, x) + column(made.bias, x)


def same(a: Tensor, b: Tensor, *inputs: Tensor) -> None:
    upstream = torch.randn_like(a)
    torch.testing.assert_close(a, b, **close)
    torch.testing.assert_close(
        torch.autograd.grad(a, inputs, upstream), torch.autograd.grad(b, inputs, upstream), **close
    )


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_detached_statistics_are_constant_in_the_gradient(shape):
    torch.manual_seed(0)
    made, x = layer(detached=True), batch(shape)
    same(made(x), by_hand(made, x, detached=True), x, made.weight, made.bias)
    (slope,) = torch.autograd.grad(made(x).sum(), x)
    assert float(slope.abs().min()) > 0  # the full gradient of a sum is 0


@pytest.mark.parametrize("detached", [False, True])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_ghost_batches_are_normalized_separately(shape, detached):
    torch.manual_seed(1)
    made, x = layer(ghost=3, detached=detached), batch(shape)
    parts = torch.cat([by_hand(made, part, detached) for part in x.split(3)])
    same(made(x), parts, x, made.weight, made.bias)
    made = layer(ghost=3, momentum=1.0)
    made(x)
    dims = (0, *range(2, x.dim()))
    means = torch.stack([part.mean(dims) for part in x.detach().split(3)]).mean(0)
    variances = torch.stack([part.var(dims) for part in x.detach().split(3)]).mean(0)
    torch.testing.assert_close(made.running_mean, means, **close)
    torch.testing.assert_close(made.running_var, variances, **close)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_batch_statistics_at_inference_do_not_change_the_running_ones(shape):
    torch.manual_seed(2)
    made, x = layer(inference="batch").eval(), batch(shape)
    same(made(x), by_hand(made, x), x, made.weight, made.bias)
    assert not made.running_mean.any()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_frozen_statistics_are_used_and_kept_from_their_step_on(shape):
    torch.manual_seed(3)
    made, free = layer(frozen_from=2), layer()
    free.load_state_dict(made.state_dict(), strict=False)
    for step in range(4):
        x = batch(shape)
        if step == 2:
            free.eval()
        same(made(x), free(x), x)
        torch.testing.assert_close(made.running_mean, free.running_mean, **close)
        torch.testing.assert_close(made.running_var, free.running_var, **close)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_noise_is_one_scale_and_offset_for_each_feature(shape):
    torch.manual_seed(4)
    made, plain, x = layer(noise_offset=0.5, noise_scale=1.25), layer(), batch(shape)
    plain.load_state_dict(made.state_dict(), strict=False)
    made.noise.place = "here"
    numbers = torch.rand(made.noise.draws(x.shape), dtype=F64)
    assert numbers.shape == (2, 8)
    with noise({"here": numbers}):
        y = made(x)
    scale, offset = column(1 + 0.25 * numbers[0], x), column(numbers[1] - 0.5, x)
    torch.testing.assert_close(y, plain(x) * scale + offset, **close)
    torch.testing.assert_close(made.eval()(x), plain.eval()(x), **close)


OPTIONS = {
    "detached": {"detached": True},
    "ghost": {"ghost": 5},
    "ghost, detached": {"ghost": 10, "detached": True},
    "inference": {"inference": "batch"},
    "frozen": {"frozen_from": 3},
    "noise": {"noise_offset": 0.5, "noise_scale": 1.25},
    "precise": {"precise_bn_batches": 4},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_stacked_runs_equal_runs_alone_bit_for_bit(name):
    norm = {"name": "batchnorm", **OPTIONS[name]}
    train = {"steps": 12, "eval_every": 6}
    runs = runs_of(seeds=2, model={"norm": norm}, train=train, sweep={"optimizer.lr": [0.05, 0.1, 0.2]})
    everyone = Trained(runs)
    for run in (runs[0], runs[-1]):
        assert Trained([run]).same_bits(everyone, run.run_id)
    looped = Trained(runs, "looped")
    for run in runs:
        ours, theirs = (one.rows[run.run_id][-1].test_loss for one in (everyone, looped))
        assert ours == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize("executor", ["vectorized", "looped"])
def test_precise_statistics_are_means_over_training_batches_and_do_not_change_training(executor):
    parts = {"train": {"steps": 10, "eval_every": 5, "dtype": "float64"}, "seeds": 1}
    with_it, without = (
        runs_of(model={"norm": {"name": "batchnorm", **more}}, sweep={"optimizer.lr": [0.1, 0.2]}, **parts)
        for more in ({"precise_bn_batches": 3}, {})
    )
    (one, other) = Trained(with_it, executor), Trained(without, executor)
    for mine, its in zip(with_it, without, strict=True):
        for ours, theirs in zip(one.rows[mine.run_id][1:], other.rows[its.run_id][1:], strict=True):
            assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-9)
            assert ours.test_loss != pytest.approx(theirs.test_loss, rel=1e-3)
        for key, value in other.tensors[its.run_id].items():
            torch.testing.assert_close(one.tensors[mine.run_id][key], value, **close)
    again = trainer(with_it, executor)
    measured = again.evaluator.with_precise_statistics(again.state, again._seeds())
    x = data_of(with_it[0]).train.x
    first = again.executor.model.hidden[0].layer
    means = []
    for step in range(3):
        images, _ = again.sampler.images(with_it[0].seed, step)
        means.append((images.flatten(1) @ again.state.params["hidden.0.layer.weight"][0].T).mean(0))
    assert x.dtype == F64
    assert first.bias is None
    torch.testing.assert_close(
        measured.buffers["hidden.0.norm.running_mean"][0], torch.stack(means).mean(0), **close
    )
    assert not again.state.buffers["hidden.0.norm.running_mean"].any()


@pytest.mark.parametrize(
    ("model", "sweep"),
    [
        ({"norm": {"name": "batchnorm", "{key}": 3}}, {"optimizer.lr": [0.1]}),
        ({"norm": "batchnorm"}, {"model.norm.{key}": [2, 3]}),
        ({}, {"model.norm": [{"name": "batchnorm", "{key}": 3}, "none"]}),
    ],
    ids=["set", "swept", "in a swept section"],
)
def test_the_old_name_of_precise_bn_batches_gives_the_same_runs(model, sweep):
    parts = json.dumps({"model": model, "sweep": sweep})
    old, new = (
        plan_of(**json.loads(parts.replace("{key}", key))).runs
        for key in ("reestimate", "precise_bn_batches")
    )
    assert [run.run_id for run in old] == [run.run_id for run in new]
    assert 3 in [run.settings.model.norm.hashed().get("reestimate") for run in new]  # as version 0.1 hashes


def test_impossible_options_are_refused():
    def refused(batch_size: int, model: str = "mlp", **options: object) -> str | None:
        made = MODELS[model].model_validate({"name": model, "norm": {"name": "batchnorm", **options}})
        return made.refuses((1, 8, 8), batch_size)

    assert refused(20, ghost=6) == "ghost: 6 does not divide the batch of 20"
    assert "at least 2" in refused(20, ghost=1)
    assert refused(20, "cnn", ghost=1) is None
    assert refused(20, ghost=5) is None
    assert refused(20, "lstm", ghost=5) == "its option ghost is not defined for the steps of a sequence"
    with pytest.raises(ValidationError, match="rule that out"):
        NORMS["batchnorm"](name="batchnorm", precise_bn_batches=3, inference="batch")


def test_under_vmap_each_run_freezes_at_its_own_step():
    layers = [layer(frozen_from=1) for _ in range(2)]
    layers[1].steps.fill_(1)
    params, buffers = stack_module_state(layers)
    x = batch((12, 8)).detach()
    y = vmap(lambda p, b: functional_call(layers[0], (p, b), (x,)))(params, buffers)
    for lane in (0, 1):
        torch.testing.assert_close(y[lane], layers[lane](x), **close)
    assert buffers["running_mean"][0].any()
    assert not buffers["running_mean"][1].any()


def test_each_noisy_layer_knows_its_place_in_the_net():
    net = MODELS["mlp"].model_validate({"name": "mlp", "norm": {"name": "batchnorm", "noise_offset": 0.5}})
    places = {m.place for m in net.build((1, 8, 8), 10).modules() if isinstance(m, Noisy)}
    assert places == {f"hidden.{index}.norm.noise" for index in range(3)}
