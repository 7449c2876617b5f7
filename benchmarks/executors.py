"""Which executor for which net? Each against one plain torch loop, in turn, on the same work.

    python benchmarks/executors.py

The rule in `normbench/plan.py` (`choose_executor`) rests on it. The plain loop trains one net of torch.nn by
torch.optim, images in channels_last; times are for each run and step, without evaluation.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import table
import torch
from stacks import alternate, random_data, steps_of, trainer
from torch import nn
from torch.nn import functional as F

from normbench.data import Dataset

STEPS = 6
ROUNDS = 5


def plain_mlp(norm: bool) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs in (784, 100, 100):
        layers += [nn.Linear(inputs, 100), *([nn.BatchNorm1d(100)] if norm else []), nn.Sigmoid()]
    return nn.Sequential(*layers, nn.Linear(100, 10))


def plain_cnn(norm: bool) -> nn.Module:
    layers: list[nn.Module] = []
    inputs, outputs = 3, 16
    for index in range(6):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), *([nn.BatchNorm2d(outputs)] if norm else [])]
        layers.append(nn.ReLU())
        inputs = outputs
        if index % 2:
            layers.append(nn.MaxPool2d(2))
            outputs *= 2
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10))
    return net.to(memory_format=torch.channels_last)


def plain_loop(model: nn.Module, data: Dataset, batch: int, steps: int) -> Callable[[], float]:
    """Return a function that trains the net for some steps and returns milliseconds a step."""
    x, y = data.train.x, data.train.y
    opt = torch.optim.SGD(model.parameters(), lr=1e-3)

    def measure() -> float:
        began = time.perf_counter()
        for _ in range(steps):
            idx = torch.randint(len(x), (batch,))
            images = x[idx]
            if images.shape[1] == 3:
                images = images.contiguous(memory_format=torch.channels_last)
            opt.zero_grad()
            F.cross_entropy(model(images), y[idx]).backward()
            opt.step()
        return (time.perf_counter() - began) / steps * 1e3

    measure()
    return measure


def main() -> None:
    rows = []
    for name, shape, batch, plain, model in (
        ("MLP 3 x 100", (1, 28, 28), 60, plain_mlp, "{{name: mlp, depth: 3, activation: sigmoid, norm: {}}}"),
        (
            "6 convolutions 16 to 64",
            (3, 32, 32),
            64,
            plain_cnn,
            "{{name: cnn, depth: 6, width: 16, norm: {}}}",
        ),
    ):
        data = random_data(shape)
        for norm in ("none", "batchnorm"):
            steps = 10 * STEPS if plain is plain_mlp else STEPS
            measures = {"plain loop": plain_loop(plain(norm == "batchnorm"), data, batch, steps)}
            for executor in ("looped", "vectorized"):
                stack = trainer(model.format(norm), data, batch, 8, executor)
                measures[executor] = steps_of(stack, max(2, steps // 4))
            figures = alternate(measures, ROUNDS)
            row = {"net": name, "norm": norm}
            row |= {f"{what}, ms": table.spread(values) for what, values in figures.items()}
            for executor in ("looped", "vectorized"):
                pairs = zip(figures["plain loop"], figures[executor], strict=True)
                row[f"{executor} is faster"] = table.spread([loop / ours for loop, ours in pairs])
            rows.append({**row, "n": ROUNDS})
    table.write("executors", rows)


if __name__ == "__main__":
    main()
