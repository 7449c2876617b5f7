"""Compares both executors with a plain torch loop on each net, on the same work, in turn.

    python benchmarks/executors.py

The rule in `normbench/planning/stacks.py` (`choose_executor`) rests on the result. The plain loop trains one
net of torch.nn with torch.optim, with color images in channels_last. Times are per run and step, without
evaluation.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import table
import torch
from stacks import alternate, random_data, steps_of, trainer
from torch import nn
from torch.nn import functional as F

from normbench.data import Dataset

sys.path.insert(0, str(Path(__file__).parent / "peers"))
from nets import build
from work import Work

STEPS = 6
ROUNDS = 5
CNN = Work("cnn", depth=6, width=16, activation="relu", batch=64)
RESNET = Work("resnet", depth=8, width=16, activation="relu", batch=64)
BOTH = ("none", "batchnorm")
NETS = (
    ("MLP 3 x 100", Work(), (1, 28, 28), BOTH),
    ("MLP 10 x 256", Work(depth=10, width=256), (1, 28, 28), ("batchnorm",)),
    ("6 convolutions 16 to 64", CNN, (3, 32, 32), BOTH),
    ("ResNet-8 of 16 to 64", RESNET, (3, 32, 32), ("batchnorm",)),
)


def plain_loop(model: nn.Module, data: Dataset, batch: int, steps: int) -> Callable[[], float]:
    """Return a function that trains the net for `steps` steps and returns milliseconds per step."""
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
    for name, work, shape, norms in NETS:
        data = random_data(shape)
        for norm in norms:
            images = shape[0] == 3
            net = build(replace(work, norm=norm))
            if images:
                net = net.to(memory_format=torch.channels_last)
            steps = STEPS if images else 10 * STEPS
            measures = {"plain loop": plain_loop(net, data, work.batch, steps)}
            for executor in ("looped", "vectorized"):
                model = (
                    f"{{name: {work.model}, depth: {work.depth}, width: {work.width},"
                    f" activation: {work.activation}, norm: {norm}}}"
                )
                stack = trainer(model, data, work.batch, 8, executor)
                measures[executor] = steps_of(stack, max(2, steps // 4))
            figures = alternate(measures, ROUNDS)
            row = {"net": name, "norm": norm}
            row |= {f"{what}, ms": table.spread(values) for what, values in figures.items()}
            for executor in ("looped", "vectorized"):
                pairs = zip(figures["plain loop"], figures[executor], strict=True)
                row[f"{executor} is faster"] = table.spread([loop / ours for loop, ours in pairs])
            rows.append({**row, "n": ROUNDS})
            print(rows[-1], flush=True)
    table.write("executors", rows)


if __name__ == "__main__":
    main()
