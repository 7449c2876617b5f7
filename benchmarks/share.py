"""Measures which share of the machine's peak rate a training step reaches.

    python benchmarks/share.py          # about 2 minutes on 2 quiet cores

The limit is measured in turn with the steps: a float32 matrix product of 1024 x 1024, or the 3x3 convolutions
of the net, forward and backward. Only the products of a step count as work, without the gradient of the net's
inputs, which is not needed. Evaluation is not included.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import table
import torch
from stacks import alternate, random_data, steps_of, trainer

from normbench.planning.net_cost import net_cost

ROUNDS = 9
MLP = "{{name: mlp, depth: {}, width: {}, activation: sigmoid, norm: {}}}"
CNN = "{{name: cnn, depth: 6, width: 16, head: average, norm: {}}}"


def product() -> Callable[[], float]:
    """Return a measurement of the matrix-product rate in GFLOP/s."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)

    def rate() -> float:
        began = time.perf_counter()
        for _ in range(10):
            a @ b
        return 10 * 2 * 1024**3 / (time.perf_counter() - began) / 1e9

    return rate


def convolution(batch: int = 64) -> Callable[[], float]:
    """Return a measurement of the rate of the net's convolutions, forward and backward, in GFLOP/s."""
    layers, flops, inputs = [], 0, 3
    for index, (outputs, side) in enumerate([(16, 32), (16, 32), (32, 16), (32, 16), (64, 8), (64, 8)]):
        x = torch.randn(batch, inputs, side, side).to(memory_format=torch.channels_last)
        layer = torch.nn.Conv2d(inputs, outputs, 3, padding=1).to(memory_format=torch.channels_last)
        grad = torch.randn(batch, outputs, side, side).to(memory_format=torch.channels_last)
        layers.append((layer, x.requires_grad_(index > 0), grad))
        flops += 2 * 9 * inputs * outputs * side * side * batch * (3 if index else 2)
        inputs = outputs

    def rate() -> float:
        began = time.perf_counter()
        for _ in range(3):
            for layer, x, grad in layers:
                layer(x).backward(grad)
        return 3 * flops / (time.perf_counter() - began) / 1e9

    return rate


DIGITS, COLORS = (1, 28, 28), (3, 32, 32)
NETS = (  # name, model, shape of an image, batch, runs in the stack, steps per measurement, the limit
    ("MLP 3 x 100", MLP.format(3, 100, "none"), DIGITS, 60, 10, 60, product),
    ("MLP 3 x 100, batch normalization", MLP.format(3, 100, "batchnorm"), DIGITS, 60, 10, 60, product),
    ("the same, 20 runs of a seed", MLP.format(3, 100, "batchnorm"), DIGITS, 60, 20, 30, product),
    ("MLP 10 x 256, batch normalization", MLP.format(10, 256, "batchnorm"), DIGITS, 60, 10, 12, product),
    ("6 convolutions 16 to 64", CNN.format("none"), COLORS, 64, 2, 4, convolution),
    ("the same, batch normalization", CNN.format("batchnorm"), COLORS, 64, 2, 4, convolution),
)


def main() -> None:
    rows = []
    for name, model, shape, batch, runs, steps, limit in NETS:
        executor = "looped" if "cnn" in model else "vectorized"
        stack = trainer(model, random_data(shape), batch, runs, executor)
        flops = batch * net_cost(stack.settings.model, shape, 10).train_flops
        figures = alternate({"limit": limit(), "step": steps_of(stack, steps)}, ROUNDS)
        reached = [flops / (ms * 1e6) for ms in figures["step"]]
        rows.append(
            {
                "net": name,
                "runs in the stack": runs,
                "ms for a run and step": table.spread(figures["step"], 3),
                "GFLOP/s": f"{statistics.median(reached):.0f}",
                "limit, GFLOP/s": f"{statistics.median(figures['limit']):.0f}",
                "share": table.spread([a / b for a, b in zip(reached, figures["limit"], strict=True)]),
                "n": ROUNDS,
            }
        )
        print(rows[-1], flush=True)
    table.write("share", rows)


if __name__ == "__main__":
    print(f"{torch.get_num_threads()} threads")
    main()
