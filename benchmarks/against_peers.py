"""Compares a sweep by normbench with the alternatives, on the same work, in turn.

    make benchmark-peers                                   # installs Lightning and JAX, then all of this
    python benchmarks/against_peers.py mlp --rounds 5      # about 40 minutes on 2 quiet cores
    python benchmarks/against_peers.py others              # other nets, against the eager loop: 35 minutes

The work: MNIST, MLP 3 x 100, sigmoid, batch normalization, SGD, batch 60; 10 rates times 3 seeds; all test
images evaluated at the end of each training. Peers that train run by run make fewer runs, because their speed
does not depend on the number; normbench and JAX make all. Each measurement is a process of its own. Its clock
leaves out imports, reading the data and compilation (their time is the column 'start-up'). All runs must
finish, because a diverged run makes no further steps. Accuracies are compared on the runs that both made,
with equal numbers of steps. They must agree within the noise of seeds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import table

PEERS = Path(__file__).parent / "peers"
sys.path.insert(0, str(PEERS))
from work import Took, Work  # noqa: E402

ONE = {"rates": (0.464,), "seeds": (0, 1, 2)}
WORKS = {
    "MLP 3 x 100, batch normalization": Work(),
    "MLP 3 x 100": Work(norm="none"),
    "MLP 3 x 100, layer normalization": Work(norm="layernorm"),
    "MLP 3 x 100, weight normalization": Work(norm="weightnorm"),
    "MLP 3 x 100, dropout 0.2": Work(norm="none", dropout=0.2),
    "MLP 10 x 256, batch normalization": Work(depth=10, width=256, steps=300),
    "6 convolutions 16 to 64 (8 runs)": Work(
        "cnn", "none", 6, 16, "relu", 0.0, "cifar10", 64, 60, (0.001, 0.01, 0.03, 0.1), (0, 1)
    ),
    "the same, batch normalization": Work(
        "cnn", "batchnorm", 6, 16, "relu", 0.0, "cifar10", 64, 60, (0.001, 0.01, 0.03, 0.1), (0, 1)
    ),
    "ResNet-8, batch normalization (4 runs)": Work(
        "resnet", "batchnorm", 8, 16, "relu", 0.0, "cifar10", 64, 40, (0.01, 0.03, 0.1, 0.3), (0,)
    ),
    "LSTM of 64 units over rows (16 runs)": Work(
        "lstm", "none", 1, 64, "tanh", 0.0, "mnist", 60, 400, (0.03, 0.1, 0.3, 1.0), (0, 1, 2, 3)
    ),
}
NOISE = 0.02  # in the mean accuracy of a few short trainings


def measure(peer: str, work: Work) -> Took:
    """Run a peer in a new process."""
    script, *options = peer.split()
    command = [sys.executable, str(PEERS / script), *options, work.text()]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Took(**json.loads(done.stdout.strip().splitlines()[-1]))


def check(name: str, ours: Took, theirs: Took, works: tuple[Work, Work]) -> float:
    """Return the difference of the mean accuracies on the runs that both made."""
    if works[0].steps != works[1].steps:
        raise SystemExit(f"{name}: trainings with different numbers of steps cannot be compared")

    def common(took: Took, work: Work) -> float:
        runs = [(seed, rate) for seed in work.seeds for rate in work.rates]
        other = works[1] if work is works[0] else works[0]
        both = zip(took.accuracies, runs, strict=True)
        return statistics.mean(a for a, (seed, rate) in both if rate in other.rates and seed in other.seeds)

    gap = abs(common(ours, works[0]) - common(theirs, works[1]))
    if works[0].steps >= 1000 and gap > NOISE:
        raise SystemExit(f"{name}: accuracies differ by {gap:.3f}: not the same work")
    return gap


def mlp(rounds: int, steps: int) -> None:
    """Compare all peers on the main case."""
    whole = replace(Work(), steps=steps)
    few = replace(whole, **ONE)
    one = replace(whole, rates=(0.464,), seeds=(0,))
    peers = {
        "normbench_sweep.py": whole,
        "normbench_sweep.py --processes": whole,
        "loop.py": few,
        "loop.py --compile": few,
        "dataloader.py": one,
        "lightning_trainer.py": one,
        "vmap_torch.py": whole,
        "vmap_torch.py --compile": whole,
        "fused.py": whole,
        "jax_scan.py": whole,
    }
    taken: dict[str, list[Took]] = {peer: [] for peer in peers}
    for turn in range(rounds):
        for peer, work in peers.items():
            taken[peer].append(measure(peer, work))
            print(
                f"round {turn + 1}: {peer}: {taken[peer][-1].steps_per_second:,.0f} steps a second",
                flush=True,
            )
    ours = taken["normbench_sweep.py"]
    rows = []
    for peer, work in peers.items():
        ratios = [a.steps_per_second / b.steps_per_second for a, b in zip(ours, taken[peer], strict=True)]
        gaps = [check(peer, a, b, (whole, work)) for a, b in zip(ours, taken[peer], strict=True)]
        speeds = [took.steps_per_second for took in taken[peer]]
        rows.append(
            {
                "what": peer,
                "steps of runs in a second": f"{statistics.median(speeds):,.0f}",
                "normbench is faster": table.spread(ratios),
                "n": rounds,
                "start-up, s": table.spread([took.startup for took in taken[peer]], 1),
                "accuracies differ by": f"{max(gaps):.4f}",
            }
        )
    table.write("peers", rows)


def others(rounds: int, steps: int, only: str) -> None:
    """Compare with the eager loop on the other nets with `only` in the name, with at most `steps` steps."""
    rows = []
    for name, work in WORKS.items():
        if only not in name:
            continue
        work = replace(work, steps=min(steps, work.steps))
        few = replace(work, rates=work.rates[-2:], seeds=work.seeds[:1])
        ratios, rates, gaps = [], [], []
        for _ in range(rounds):
            ours, theirs = measure("normbench_sweep.py", work), measure("loop.py", few)
            ratios.append(ours.steps_per_second / theirs.steps_per_second)
            rates.append(ours.steps_per_second)
            gaps.append(check(name, ours, theirs, (work, few)))
        rows.append(
            {
                "net": name,
                "runs x steps": f"{work.runs} x {work.steps}",
                "steps of runs in a second": f"{statistics.median(rates):,.0f}",
                "faster than the eager loop": table.spread(ratios),
                "n": rounds,
                "accuracies differ by": f"{max(gaps):.4f}",
            }
        )
        print(rows[-1], flush=True)
    table.write("nets", rows, others_stay=bool(only))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("which", choices=("mlp", "others"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--steps", type=int, help="of the main case (default 5,000), at most for others (600)"
    )
    parser.add_argument("--only", default="", help="nets with this in their name; other rows stay")
    options = parser.parse_args()
    if options.which == "mlp":
        mlp(options.rounds, options.steps or 5000)
    else:
        others(options.rounds, options.steps or 600, options.only)


if __name__ == "__main__":
    main()
