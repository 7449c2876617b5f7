"""Measures whether the cost of a run stays constant in sweeps of 30, 300 and 3,000 runs.

    python benchmarks/growth.py          # about 8 minutes on 2 quiet cores

MNIST, MLP 3 x 100 with batch normalization, 30 steps of batch 60, 10 rates; the number of seeds gives the
number of runs. Each sweep is a process of its own. All runs share the start-up. It is measured as the time of
the smallest sweep of the same kind (2 runs) and subtracted.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import table
from processes import timed

RUNS = (2, 30, 300, 3000)
CONFIG = """
name: growth
seeds: {seeds}
data: {{name: mnist, batch_size: 60, test_size: 1000}}
model: {{name: mlp, depth: 3, width: 100, activation: sigmoid, norm: batchnorm}}
train: {{steps: 30, eval_every: 30}}
sweep: {{optimizer.lr: {{logspace: {{from: 0.01, to: 1, num: {rates}}}}}}}
"""


def sweep(runs: int) -> tuple[float, float]:
    """Train this number of runs; return the seconds and the peak memory in MB."""
    rates = min(runs, 10)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "growth.yaml")
        config.write_text(CONFIG.format(seeds=runs // rates, rates=rates))
        code = f"from normbench import api; api.run({str(config)!r}, results={folder!r})"
        return timed(["-c", code])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    taken = {runs: [] for runs in RUNS}
    for _ in range(rounds):
        for runs in RUNS:
            taken[runs].append(sweep(runs))
            print(f"{runs} runs: {taken[runs][-1][0]:.1f} s", flush=True)
    start = statistics.median(seconds for seconds, _ in taken[RUNS[0]])
    rows = [
        {
            "runs": f"{runs:,}",
            "seconds": table.spread([seconds for seconds, _ in values]),
            "ms for each run, start-up left out": table.spread(
                [(seconds - start) * 1e3 / (runs - RUNS[0]) for seconds, _ in values], 1
            ),
            "most memory, MB": f"{max(memory for _, memory in values):,.0f}",
            "n": rounds,
        }
        for runs, values in taken.items()
        if runs > RUNS[0]
    ]
    table.write("growth", rows)


if __name__ == "__main__":
    main()
