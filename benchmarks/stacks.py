"""Stacks for the benchmarks: a trainer over random images, and measurements in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from normbench.config import parse_config
from normbench.data import Dataset, Split
from normbench.engine.loop import StackTrainer
from normbench.planning.runs import RunSpec
from normbench.planning.stacks import stack_key

CONFIG = """
name: benchmark
data: {{name: {data}, batch_size: {batch}}}
model: {model}
optimizer: {optimizer}
train: {{steps: 100000, eval_every: 100000}}
"""


def random_data(shape: tuple[int, int, int], images: int = 6000) -> Dataset:
    """Return random images and labels; only their shapes affect the time."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(images, *shape, generator=rng)
    part = Split(x, torch.randint(0, 10, (images,), generator=rng))
    return Dataset("random", part, None, part, 10, tuple("0123456789"), 2.3)


def trainer(
    model: str,
    dataset: Dataset,
    batch: int,
    runs: int,
    executor: str,
    seeds: int = 1,
    optimizer: str = "sgd",
) -> StackTrainer:
    """Return a trainer whose runs differ only in their learning rates (and seeds).

    Args:
        model: the section `model` of a config, as YAML.
        dataset: images and labels to train on.
        batch: the batch size.
        runs: number of runs.
        executor: `vectorized` or `looped`.
        seeds: number of seeds; each has an equal part of the runs.
        optimizer: the section `optimizer` of a config, as YAML.
    """
    data = "cifar10" if dataset.input_shape[0] == 3 else "mnist"
    text = CONFIG.format(data=data, batch=batch, model=model, optimizer=optimizer)
    settings = parse_config(text).settings
    specs = []
    for index in range(runs):
        rate = settings.optimizer.model_copy(update={"lr": 1e-3 * (1 + index % 7)})
        one = settings.model_copy(update={"optimizer": rate})
        specs.append(RunSpec(f"{index:012x}", index * seeds // runs, one, {}))
    return StackTrainer(specs, dataset, executor, stack_key(settings))


def steps_of(stack: StackTrainer, steps: int) -> Callable[[], float]:
    """Return a function that makes `steps` steps and returns milliseconds per run and step."""
    list(stack._train(stack.state.step + 3))  # traces and warms up

    def measure() -> float:
        began = time.perf_counter()
        list(stack._train(stack.state.step + steps))
        return (time.perf_counter() - began) / steps / len(stack.state.lanes) * 1e3

    return measure


def alternate(measures: Mapping[Any, Callable[[], float]], rounds: int) -> dict[Any, list[float]]:
    """Return the values of each measure. They take turns, so that a slow spell affects all equally."""
    figures: dict[Any, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            figures[name].append(measure())
    return figures
