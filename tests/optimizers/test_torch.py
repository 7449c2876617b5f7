"""Each optimizer against torch's: 100 steps in float64, with other options in each lane of one stack."""

from __future__ import annotations

import pytest
import torch

from normbench.optimizers import OPTIMIZERS
from normbench.optimizers.base import Schedule, clip

F64 = torch.float64
STEPS = 100
SHAPES = {"weight": (4, 3), "bias": (4,), "kernel": (2, 3, 3, 3)}
LR = [0.003, 0.01, 0.02, 0.05]


def lanes(**columns: list) -> list[dict]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


# optimizer, and its options in each lane
CASES = {
    "sgd": ("sgd", lanes(lr=LR)),
    "sgd decay": ("sgd", lanes(lr=LR, weight_decay=[0.0, 0.1, 0.01, 0.5])),
    "sgd momentum": ("sgd", lanes(lr=LR, momentum=[0.0, 0.5, 0.9, 0.99])),
    "sgd nesterov": (
        "sgd",
        lanes(lr=LR, momentum=[0.3, 0.5, 0.9, 0.99], weight_decay=[0.0, 0.1, 0.0, 0.2], nesterov=[True] * 4),
    ),
    "adam": ("adam", lanes(lr=LR, beta1=[0.9, 0.5, 0.0, 0.99], beta2=[0.999, 0.9, 0.99, 0.5])),
    "adam decay": ("adam", lanes(lr=LR, eps=[1e-8, 1e-3, 1.0, 1e-6], weight_decay=[0.0, 0.1, 1.0, 0.01])),
    "adamw": ("adamw", lanes(lr=LR, weight_decay=[0.0, 0.1, 1.0, 0.01], beta1=[0.9, 0.5, 0.0, 0.99])),
    "adamw default decay": ("adamw", lanes(lr=LR)),
    "rmsprop": ("rmsprop", lanes(lr=LR, alpha=[0.99, 0.9, 0.5, 0.0], eps=[1e-8, 1e-3, 1.0, 1e-6])),
    "rmsprop momentum": (
        "rmsprop",
        lanes(lr=LR, momentum=[0.0, 0.5, 0.9, 0.99], weight_decay=[0.1, 0.0, 0.5, 0.01]),
    ),
}
TORCHS = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
}


def torchs(name: str, options: dict, params: list[torch.Tensor]) -> torch.optim.Optimizer:
    options = dict(options)
    if name in ("adam", "adamw"):
        options["betas"] = (options.pop("beta1", 0.9), options.pop("beta2", 0.999))
    return TORCHS[name](params, **options)


def gradient(param: torch.Tensor, step: int) -> torch.Tensor:
    """The gradient of a function that changes with the step, so that all options have an effect."""
    return 0.3 * param + torch.sin(3 * param + step) + 0.1


def run_ours(name, rows, schedule=None, clip_norm=None):
    options = [OPTIMIZERS[name](name=name, **row) for row in rows]
    torch.manual_seed(0)
    params = {key: torch.randn(len(rows), *shape, dtype=F64) for key, shape in SHAPES.items()}
    start = {key: value.clone() for key, value in params.items()}
    state = options[0].state(params)
    hyper = {key: torch.tensor([getattr(o, key) for o in options], dtype=F64) for key in options[0].per_run}
    for step in range(STEPS):
        grads = {key: gradient(param, step) for key, param in params.items()}
        if clip_norm:
            grads = clip(grads, clip_norm)
        factor = schedule.factor(step, STEPS) if schedule else 1.0
        numbers = options[0].numbers({**hyper, "lr": hyper["lr"] * factor}, step)
        options[0].update(params, grads, state, numbers)
    return start, params


def run_torchs(name, row, start, lane, scheduler=None, clip_norm=None):
    params = {key: torch.nn.Parameter(value[lane].clone()) for key, value in start.items()}
    optimizer = torchs(name, row, list(params.values()))
    schedule = scheduler(optimizer) if scheduler else None
    for step in range(STEPS):
        for param in params.values():
            param.grad = gradient(param.detach(), step)
        if clip_norm:
            torch.nn.utils.clip_grad_norm_(params.values(), clip_norm)
        optimizer.step()
        if schedule:
            schedule.step()
    return params


def compare(name, rows, schedule=None, scheduler=None, clip_norm=None):
    start, ours = run_ours(name, rows, schedule, clip_norm)
    for lane, row in enumerate(rows):
        theirs = run_torchs(name, row, start, lane, scheduler, clip_norm)
        for key, value in theirs.items():
            torch.testing.assert_close(ours[key][lane], value.detach(), rtol=1e-9, atol=1e-12)
            assert not torch.allclose(start[key][lane], value.detach())


def test_every_optimizer_has_a_case():
    assert {name for name, _ in CASES.values()} == set(OPTIMIZERS)


@pytest.mark.parametrize("case", CASES)
def test_each_lane_equals_torchs_optimizer(case):
    compare(*CASES[case])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_run_is_clipped_by_its_own_norm(name):
    compare(name, lanes(lr=LR[:2]), clip_norm=0.5)


def test_a_gradient_below_the_bound_is_not_changed():
    grads = {"a": torch.tensor([[3.0, 4.0], [0.3, 0.4]], dtype=F64)}
    clipped = clip(grads, 1.0)
    expected = torch.tensor([[0.6, 0.8], [0.3, 0.4]], dtype=F64)
    torch.testing.assert_close(clipped["a"], expected, rtol=1e-6, atol=0)
    assert torch.equal(clipped["a"][1], expected[1])


S = torch.optim.lr_scheduler
SCHEDULES = {
    "constant": (Schedule(), lambda o: S.ConstantLR(o, factor=1.0)),
    "linear": (Schedule(name="linear", final=0.1), lambda o: S.LinearLR(o, 1.0, 0.1, STEPS - 1)),
    "cosine": (Schedule(name="cosine"), lambda o: S.CosineAnnealingLR(o, STEPS - 1)),
    "step": (
        Schedule(name="step", milestones=[20, 50], gamma=0.3),
        lambda o: S.MultiStepLR(o, [20, 50], gamma=0.3),
    ),
    "warm-up": (Schedule(warmup=10), lambda o: S.LinearLR(o, 0.1, 1.0, 9)),
    "warm-up and cosine": (
        Schedule(name="cosine", warmup=10),
        lambda o: S.SequentialLR(o, [S.LinearLR(o, 0.1, 1.0, 9), S.CosineAnnealingLR(o, STEPS - 11)], [10]),
    ),
}


@pytest.mark.filterwarnings("ignore:The epoch parameter in")  # torch's own SequentialLR uses it
@pytest.mark.parametrize("name", ["sgd", "adam"])
@pytest.mark.parametrize("case", SCHEDULES)
def test_schedules_equal_torchs(case, name):
    schedule, scheduler = SCHEDULES[case]
    compare(name, lanes(lr=LR[:2]), schedule, scheduler)


@pytest.mark.parametrize(("steps", "warmup"), [(10, 0), (10, 4), (2, 0), (1, 0), (10, 9)])
@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_the_last_update_has_the_final_rate(name, steps, warmup):
    schedule = Schedule(name=name, warmup=warmup, final=0.1)
    factors = [schedule.factor(step, steps) for step in range(steps)]
    assert factors[-1] == pytest.approx(0.1)
    if steps - warmup > 1:
        assert factors[warmup] == 1
    assert factors[warmup:] == sorted(factors[warmup:], reverse=True)


def test_only_schedules_whose_numbers_changed_have_another_id():
    assert Schedule().hashed() == Schedule().model_dump(mode="json")
    assert (
        Schedule(name="step", milestones=[3]).hashed() == Schedule(name="step", milestones=[3]).model_dump()
    )
    for name in ("linear", "cosine"):
        schedule = Schedule(name=name)
        assert schedule.hashed() == {**schedule.model_dump(), "reaches_final": "last update"}
        assert OPTIMIZERS["sgd"](name="sgd", schedule=schedule).hashed()["schedule"] == schedule.hashed()
