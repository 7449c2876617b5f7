"""A sweep by normbench against a careful eager loop, one run after the other, on the same work.

    python benchmarks/sweep_vs_loop.py                # 30 runs of 5,000 steps, 3 pairs: about 12 minutes
    python benchmarks/sweep_vs_loop.py --steps 500 --pairs 5

The work: MNIST, MLP 784-100-100-100-10, sigmoid, batch normalization, SGD, batch 60; 10 rates times 3 seeds;
all 10,000 test images evaluated at the end of each run. The loop is the one that a careful user writes, over
tensors in memory (no DataLoader). Each is a process of its own, from start to the last result; the two take
turns, so that a change of the machine's speed meets both. Printed: seconds of the whole process and of the
training alone, their ratios with smallest and largest, and the accuracies, which must agree.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RATES = [0.01, 0.0215, 0.0464, 0.1, 0.215, 0.464, 1.0, 1.5, 2.15, 3.0]
SEEDS = [0, 1, 2]

CONFIG = """
name: sweep_vs_loop
seeds: {seeds}
data: {{name: mnist, batch_size: 60, standardize: channel}}
model: {{name: mlp, depth: 3, width: 100, activation: sigmoid, norm: batchnorm}}
train: {{steps: {steps}, eval_every: {steps}}}
sweep:
  optimizer.lr: {rates}
"""


def run_loop(steps: int) -> dict[str, object]:
    """Train all runs by the plain loop."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    from normbench.data import DATASETS, load

    data = load(DATASETS["mnist"](name="mnist"))
    X, Y = data.train.x.flatten(1), data.train.y
    testX, testY = data.test.x.flatten(1), data.test.y
    accuracies, training = [], 0.0
    for seed in SEEDS:
        for rate in RATES:
            torch.manual_seed(seed)
            layers: list[nn.Module] = []
            for inputs in (784, 100, 100):
                layers += [nn.Linear(inputs, 100), nn.BatchNorm1d(100), nn.Sigmoid()]
            model = nn.Sequential(*layers, nn.Linear(100, 10))
            opt = torch.optim.SGD(model.parameters(), lr=rate)
            began = time.perf_counter()
            perm = torch.randperm(len(X))
            for step in range(steps):
                idx = perm[step * 60 % 59000 :][:60]
                opt.zero_grad()
                F.cross_entropy(model(X[idx]), Y[idx]).backward()
                opt.step()
            training += time.perf_counter() - began
            model.eval()
            with torch.no_grad():
                accuracies.append((model(testX).argmax(1) == testY).float().mean().item())
    return {"training": training, "accuracy": statistics.mean(accuracies)}


def run_normbench(steps: int) -> dict[str, object]:
    """Train all runs by normbench, records included."""
    import contextlib
    import io

    from normbench import api

    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "config.yaml")
        config.write_text(CONFIG.format(seeds=SEEDS, steps=steps, rates=RATES))
        with contextlib.redirect_stdout(io.StringIO()):
            done = api.run(config, results=folder)
        runs = api.load(done.folder).runs
    return {
        "training": float(runs["train_seconds"].sum()),
        "accuracy": float(runs["final_test_accuracy"].mean()),
    }


def measure(what: str, steps: int) -> dict[str, float]:
    """Run one of the two as a process and return its times."""
    began = time.perf_counter()
    command = [sys.executable, __file__, "--child", what, "--steps", str(steps)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result = json.loads(output.strip().splitlines()[-1])
    result["whole"] = time.perf_counter() - began
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--child", choices=("loop", "normbench"))
    options = parser.parse_args()
    if options.child:
        child = run_loop if options.child == "loop" else run_normbench
        print(json.dumps(child(options.steps)))
        return
    rows = []
    for pair in range(options.pairs):
        rows.append({what: measure(what, options.steps) for what in ("loop", "normbench")})
        print(f"pair {pair + 1}:", json.dumps(rows[-1]), flush=True)
    for time_of in ("whole", "training"):
        ratios = [row["loop"][time_of] / row["normbench"][time_of] for row in rows]
        print(
            f"{time_of}: the loop takes {statistics.median(ratios):.2f} times as long "
            f"(smallest {min(ratios):.2f}, largest {max(ratios):.2f}, n = {len(ratios)})"
        )
    gap = abs(rows[0]["loop"]["accuracy"] - rows[0]["normbench"]["accuracy"])
    print(f"mean accuracies differ by {gap:.4f}")
    if options.steps >= 1000 and gap > 0.02:
        sys.exit("the accuracies differ by more than the noise of seeds: not the same work")


if __name__ == "__main__":
    main()
