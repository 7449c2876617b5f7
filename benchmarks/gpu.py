"""Measures stacks of 1 to 4,096 runs on a GPU against the eager loop on the same GPU, in turn.

    python benchmarks/gpu.py

The loop trains one net of torch.nn with torch.optim; its data stay on the GPU, too. Times are without
evaluation. TF32 is off for matrix products (torch's default) and, for this comparison, for convolutions.
Set `COMMIT` where the code was copied without its git folder.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import table
import torch
from stacks import alternate, random_data, steps_of, trainer
from torch.nn import functional as F

from normbench.data import Dataset, Split

sys.path.insert(0, str(Path(__file__).parent / "peers"))
from nets import build
from work import Work

ROUNDS = 5
CNN = Work("cnn", depth=6, width=16, activation="relu", batch=64)
# what, work, shape of an image, runs of a stack
NETS = (
    ("MLP 3 x 100, batch normalization", Work(), (1, 28, 28), (1, 8, 64, 512, 4096)),
    ("MLP 3 x 100", Work(norm="none"), (1, 28, 28), (1, 64, 512, 4096)),
    ("6 convolutions, batch normalization", CNN, (3, 32, 32), (1, 8, 64)),
)


def on_gpu(data: Dataset) -> Dataset:
    """Return the data set with all its parts on the GPU."""

    def moved(part: Split) -> Split:
        return Split(part.x.cuda(), part.y.cuda())

    return replace(data, train=moved(data.train), test=moved(data.test))


def plain_loop(work: Work, data: Dataset, steps: int) -> Callable[[], float]:
    """Return a function that trains one net for `steps` steps and returns milliseconds per step."""
    net = build(work).cuda()
    x, y = data.train.x, data.train.y
    if work.model == "cnn":
        net, x = net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    opt = torch.optim.SGD(net.parameters(), lr=1e-3)

    def measure() -> float:
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(steps):
            idx = torch.randint(len(x), (work.batch,), device=x.device)
            opt.zero_grad()
            F.cross_entropy(net(x[idx]), y[idx]).backward()
            opt.step()
        torch.cuda.synchronize()
        return (time.perf_counter() - began) / steps * 1e3

    measure()
    return measure


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="nets with this in their name")
    parser.add_argument("--most", type=int, default=4096, help="runs of the largest stack")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("torch finds no CUDA device on this machine")
    torch.backends.cudnn.allow_tf32 = False
    rows = []
    for name, work, shape, sizes in NETS:
        if options.only not in name:
            continue
        data = on_gpu(random_data(shape))
        model = (
            f"{{name: {work.model}, depth: {work.depth}, width: {work.width},"
            f" activation: {work.activation}, norm: {work.norm}}}"
        )
        loop = plain_loop(work, data, 200)
        for size in (size for size in sizes if size <= options.most):
            stack = trainer(model, data, work.batch, size, "vectorized")
            figures = alternate({"loop": loop, "stack": steps_of(stack, 100)}, ROUNDS)
            faster = [a / b for a, b in zip(figures["loop"], figures["stack"], strict=True)]
            rows.append(
                {
                    "net, runs of a stack": f"{name}, {size:,}",
                    "loop, ms a step": table.spread(figures["loop"]),
                    "stack, ms a run and step": table.spread(figures["stack"], 4),
                    "faster than the eager loop": table.spread(faster, 1),
                    "memory, GB": f"{torch.cuda.max_memory_allocated() / 1e9:.2f}",
                    "n": ROUNDS,
                    "processor": torch.cuda.get_device_name(),
                }
            )
            print(rows[-1], flush=True)
            del stack
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
    table.write("gpu", rows)


if __name__ == "__main__":
    main()
