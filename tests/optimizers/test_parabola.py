"""Every optimizer, with its schedules, finds the minimum of a parabola, at the rate that theory gives.

Several runs with different options descend as one stack, through the interface that the engine uses.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from normbench.optimizers import OPTIMIZERS

F64 = torch.float64

# f(w) = sum of h (w - c)^2 / 2 over all parameters, with the curvatures h and the minimum c
CURVATURE = {
    "weight": torch.tensor([[0.5, 1.0], [1.5, 2.0]], dtype=F64),
    "bias": torch.tensor([1.0], dtype=F64),
}
MINIMUM = {
    "weight": torch.tensor([[1.0, -2.0], [3.0, 0.5]], dtype=F64),
    "bias": torch.tensor([-1.0], dtype=F64),
}


def descend(
    name: str,
    lanes: list[dict],
    steps: int,
    curvature: dict[str, Tensor],
    minimum: dict[str, Tensor],
    start: float = 0.0,
    **shared: object,
) -> tuple[list[dict[str, Tensor]], Tensor]:
    """Return the parameters after each step, and the loss of each run after each step, (steps + 1, R)."""
    runs = [OPTIMIZERS[name].model_validate({"name": name, **shared, **lane}) for lane in lanes]
    first = runs[0]
    params = {key: torch.full((len(runs), *h.shape), start, dtype=F64) for key, h in curvature.items()}
    state = first.state(params)
    columns = {key: torch.tensor([getattr(run, key) for run in runs], dtype=F64) for key in first.per_run}
    hyper = {key: value for key, value in columns.items() if key not in first.switches or value.any()}
    path, losses = [], []
    for step in range(steps + 1):
        distance = {key: params[key] - minimum[key] for key in params}
        squares = [(curvature[key] * distance[key].square() / 2).flatten(1).sum(1) for key in params]
        path.append({key: value.clone() for key, value in params.items()})
        losses.append(torch.stack(squares).sum(0))
        if step < steps:
            lr = hyper["lr"] * first.schedule.factor(step, steps)
            grads = {key: curvature[key] * distance[key] for key in params}
            first.apply(params, grads, state, first.numbers({**hyper, "lr": lr}, step))
    return path, torch.stack(losses)


def lanes(**columns: list) -> list[dict]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


STEP = {"name": "step", "milestones": [50], "gamma": 0.5}
WARMUP = {"name": "cosine", "warmup": 10}
# optimizer, learning rates of the runs, options of all runs, steps, largest final loss over the initial one
CONVERGENCE = {
    "sgd": ("sgd", [0.3, 0.5, 0.6], {}, 100, 1e-15),
    "sgd, linear": ("sgd", [0.3, 0.5, 0.6], {"schedule": "linear"}, 100, 1e-8),
    "sgd, cosine": ("sgd", [0.3, 0.5, 0.6], {"schedule": "cosine"}, 100, 1e-8),
    "sgd, step": ("sgd", [0.3, 0.5, 0.6], {"schedule": STEP}, 100, 1e-11),
    "sgd, warm-up and cosine": ("sgd", [0.3, 0.5, 0.6], {"schedule": WARMUP}, 100, 1e-8),
    "sgd, clipped": ("sgd", [0.3, 0.5, 0.6], {"clip_norm": 0.5}, 100, 1e-12),
    "sgd, momentum": ("sgd", [0.1, 0.3, 0.6], {"momentum": 0.5}, 100, 1e-11),
    "sgd, nesterov": ("sgd", [0.1, 0.3, 0.6], {"momentum": 0.5, "nesterov": True}, 100, 1e-10),
    "adam": ("adam", [0.1, 0.2, 0.3], {}, 300, 1e-12),
    "adam, cosine": ("adam", [0.1, 0.2, 0.3], {"schedule": "cosine"}, 300, 1e-9),
    "adam, step": ("adam", [0.1, 0.2, 0.3], {"schedule": STEP}, 300, 1e-9),
    "adam, clipped": ("adam", [0.1, 0.2, 0.3], {"clip_norm": 0.5}, 300, 1e-9),
    "adamw": ("adamw", [0.1, 0.2, 0.3], {"weight_decay": 0.0}, 300, 1e-12),
    "adamw, cosine": ("adamw", [0.1, 0.2, 0.3], {"weight_decay": 0.0, "schedule": "cosine"}, 300, 1e-9),
    "rmsprop": ("rmsprop", [0.03, 0.05, 0.1], {}, 300, 1e-6),
    "rmsprop, linear": ("rmsprop", [0.03, 0.05, 0.1], {"schedule": "linear"}, 300, 1e-6),
    "rmsprop, cosine": ("rmsprop", [0.03, 0.05, 0.1], {"schedule": "cosine"}, 300, 1e-6),
    "rmsprop, momentum": ("rmsprop", [0.01, 0.03, 0.1], {"momentum": 0.9, "schedule": "cosine"}, 300, 1e-12),
}


def test_every_optimizer_is_tried_on_the_parabola():
    assert {name for name, *_ in CONVERGENCE.values()} == set(OPTIMIZERS)


@pytest.mark.parametrize("case", CONVERGENCE)
def test_the_minimum_is_reached(case):
    name, rates, options, steps, reached = CONVERGENCE[case]
    path, losses = descend(name, lanes(lr=rates), steps, CURVATURE, MINIMUM, **options)
    assert (losses[-1] / losses[0]).max() < reached
    for key, value in path[-1].items():
        torch.testing.assert_close(value, MINIMUM[key].expand_as(value), rtol=0, atol=0.01)


# The distance to the minimum of h w^2 / 2 shrinks at each step by this factor, at curvature h = 1: by
# |1 - lr (h + weight_decay)| for SGD. Momentum and Nesterov's momentum are linear recursions of second order,
# whose roots have the moduli sqrt(momentum) and sqrt(momentum (1 - lr h)) where they are complex.
RATES = {
    "sgd": ({}, lanes(lr=[0.1, 0.5, 1.5]), [0.9, 0.5, 0.5]),
    "sgd, decay": ({}, lanes(lr=[0.1, 0.2, 0.5], weight_decay=[1.0, 0.5, 0.0]), [0.8, 0.7, 0.5]),
    "sgd, momentum": (
        {},
        lanes(lr=[0.3, 0.1, 0.5], momentum=[0.5, 0.9, 0.9]),
        [math.sqrt(0.5), math.sqrt(0.9), math.sqrt(0.9)],
    ),
    "sgd, nesterov": (
        {"nesterov": True},
        lanes(lr=[0.3, 0.1, 0.2], momentum=[0.5, 0.9, 0.9]),
        [math.sqrt(0.5 * 0.7), math.sqrt(0.9 * 0.9), math.sqrt(0.9 * 0.8)],
    ),
}


@pytest.mark.parametrize("case", RATES)
def test_the_distance_of_sgd_shrinks_at_the_rate_of_theory(case):
    options, runs, expected = RATES[case]
    one, zero = {"w": torch.ones(1, dtype=F64)}, {"w": torch.zeros(1, dtype=F64)}
    _, losses = descend("sgd", runs, 400, one, zero, start=1.0, **options)
    # the mean rate from step 100 to 400; with complex roots the distance oscillates around it
    found = (losses[400] / losses[100]).sqrt() ** (1 / 300)
    assert found.tolist() == pytest.approx(expected, rel=0.01)


# Far from the minimum the gradient is nearly constant. Adam then moves by lr at each step, and RMSprop by
# lr / sqrt(1 - alpha^t) at step t, whatever the curvature.
DISTANCES = {
    "adam": ("adam", {}, lambda lr: 50 * lr),
    "adamw": ("adamw", {"weight_decay": 0.0}, lambda lr: 50 * lr),
    "rmsprop": ("rmsprop", {"alpha": 0.9}, lambda lr: sum(lr / math.sqrt(1 - 0.9**t) for t in range(1, 51))),
}


@pytest.mark.parametrize("case", DISTANCES)
def test_adaptive_steps_do_not_depend_on_the_curvature(case):
    name, options, expected = DISTANCES[case]
    rates = [0.01, 0.1, 1.0]
    steep = {"w": torch.tensor([0.01, 1.0, 100.0], dtype=F64)}
    zero = {"w": torch.zeros(3, dtype=F64)}
    path, _ = descend(name, lanes(lr=rates), 50, steep, zero, start=1e5, **options)
    moved = path[0]["w"] - path[-1]["w"]
    for lane, lr in enumerate(rates):
        assert moved[lane].tolist() == pytest.approx([expected(lr)] * 3, rel=1e-3)
