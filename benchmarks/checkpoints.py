"""Measures the cost of checkpoints over a whole training, at the default schedule.

    python benchmarks/checkpoints.py                  # 3 trainings with and 3 without, about 20 minutes

One stack of an MNIST sweep (MLP 784-100-100-100-10, batch normalization, Adam, which triples the state) is
trained by `normbench.api.run`, long enough for several checkpoints. There are two measures:

1. The seconds spent in saving (rows and state put on disk, counted within the training) divided by the
   seconds of the training. This is the answer, because it depends little on other work on the machine.
2. The CPU time of trainings with the default schedule divided by that of trainings without checkpoints, in
   turn. It would show a cost outside of saving.

The exit code is 1 if the first exceeds 2 %.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from normbench import api
from normbench.launch import train_stack
from normbench.launch.checkpoints import Schedule

CONFIG = """
name: checkpoints
seeds: 3
data: {{name: mnist, train_size: 10000, test_size: 1000, batch_size: 60}}
model: {{name: mlp, depth: 3, width: 100, activation: relu, norm: batchnorm}}
optimizer: {{name: adam}}
train: {{steps: {steps}, eval_every: 1000}}
sweep: {{optimizer.lr: {{logspace: {{from: 1.0e-4, to: 1.0e-2, num: {rates}}}}}}}
"""
NEVER = 1e9  # seconds
MOST = 0.02


class Counting(Schedule):
    """A schedule that records the seconds each checkpoint took."""

    taken: list[float]

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        with super().saving():
            yield
        self.taken.append(self.cost)


def training(options: argparse.Namespace, every: float | None) -> dict[str, Any]:
    Counting.taken = []
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "checkpoints.yaml"
        path.write_text(CONFIG.format(steps=options.steps, rates=options.rates), encoding="utf-8")
        wall, cpu = time.monotonic(), time.process_time()
        done = api.run(path, results=place, threads=options.threads, checkpoint_every=every)
        seconds, cpu = time.monotonic() - wall, time.process_time() - cpu
        assert len(done.plan.stacks) == 1, "the checkpoints of one stack are measured"
    return {"seconds": seconds, "cpu_seconds": cpu, "saving": Counting.taken}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--rates", type=int, default=9, help="number of learning rates; three runs for each")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write the numbers to this file as JSON")
    options = parser.parse_args()
    train_stack.Schedule = Counting  # type: ignore[misc]
    found: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for pair in range(options.pairs):
        if pair % 2:
            without, used = training(options, NEVER), training(options, None)
        else:
            used, without = training(options, None), training(options, NEVER)
        assert used["saving"], "the training is too short for a checkpoint; raise --steps"
        assert not without["saving"]
        found.append((used, without))
        spent = sum(used["saving"])
        more = used["cpu_seconds"] / without["cpu_seconds"] - 1
        print(
            f"{len(used['saving'])} checkpoints in {used['seconds']:.0f} s took {spent:.2f} s: "
            f"{spent / used['seconds']:.2%}; CPU time {used['cpu_seconds']:.1f} s with, "
            f"{without['cpu_seconds']:.1f} s without: {more:+.2%}",
            flush=True,
        )
    share = sum(sum(used["saving"]) for used, _ in found) / sum(used["seconds"] for used, _ in found)
    ratios = [used["cpu_seconds"] / without["cpu_seconds"] - 1 for used, without in found]
    print(
        f"saving: {share:.2%} of the training time (n = {len(found)} trainings); CPU time with over without: "
        f"median {statistics.median(ratios):+.2%}, {min(ratios):+.2%} to {max(ratios):+.2%}"
    )
    if options.out:
        text = json.dumps({"share": share, "cpu_ratios": ratios, "each": found}, indent=1)
        options.out.write_text(text + "\n", encoding="utf-8")
    return 0 if share < MOST else 1


if __name__ == "__main__":
    raise SystemExit(main())
