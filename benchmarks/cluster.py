"""Trains a real MNIST sweep on a Ray cluster of this machine, kills its drivers and nodes, and times it.

    python benchmarks/cluster.py                          # 10 driver kills, 10 node kills, 3 timings; an hour
    python benchmarks/cluster.py --short                  # a small sweep on digits: 1 kill of each kind
    python benchmarks/cluster.py --short --only nodes     # what CI runs, about a minute
    python benchmarks/cluster.py --only overhead          # on a quiet machine

It needs `pip install 'normbench[ray]'` and, without --short, MNIST. The cluster has a head without CPUs and
two nodes with one each (`ray.cluster_utils.Cluster`). The sweep has 12 stacks (--short: 6) of three
normalizations, with dropout, Adam and a rate that diverges. It is trained once by a single process with one
thread. Then:

- drivers: the command trains on the cluster and gets SIGKILL N times, at moments that are spread evenly over
  the rows of the sweep. Each time the same command is started again.
- nodes: the command trains on the cluster without a stop. N times, spread likewise, a node is killed (its
  raylet, and so its workers), and a new one comes.
- overhead: `--launcher ray` on a cluster of its own against `--launcher processes`, in turns, each with two
  workers of one thread; the time of the whole command.

In both kill parts `metrics.csv` must have the bytes of the single process, and `runs.csv` its cells except
for train_seconds. Steps trained twice are given as a share of those of the single process. With killed nodes
they are those that the session made (environment.json: run_steps) beyond those of the single process; steps
that a lost worker made after its last message, 0.2 seconds before its end or less, are not counted. A killed
driver cannot write down what it made. So after each kill the rows behind the last checkpoint of each stack
are counted, and a whole stretch between two rows on top, which is at most what was lost. The exit code is 1
if records differ, if 15 % or more of the steps were made twice, or if Ray takes 10 % longer.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster
from torture import Sweep, end_well

CONFIG = """
name: torture
seeds: {seeds}
data: {{name: {data}, batch_size: 60}}
model:
  {{name: mlp, depth: 3, width: {width}, activation: relu,
   dropout: {{rate: 0.1, placement: after_activation}}}}
optimizer: {{name: adam}}
train: {{steps: {steps}, eval_every: {every}}}
sweep:
  model.norm: [none, batchnorm, layernorm]
  optimizer.lr: [0.0003, 0.001, 0.003, 0.01, 1.0e+30]
"""
EVERY = 10  # steps between two rows
FULL = {
    "data": "mnist, train_size: 10000, test_size: 500",
    "seeds": 4,
    "width": 100,
    "steps": 4000,
    "every": EVERY,
}
SHORT = {
    "data": "digits, train_size: 1200, test_size: 300",
    "seeds": 2,
    "width": 32,
    "steps": 600,
    "every": EVERY,
}
MOST_TWICE, MOST_OVERHEAD = 0.15, 0.10
POLL = 0.01  # seconds
NODE = {"object_store_memory": 200 * 2**20, "include_dashboard": False}


class Machines:
    """A cluster of this machine: a head without CPUs, and nodes with one each."""

    def __init__(self, nodes: int = 2) -> None:
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **NODE})
        self.nodes = [self.cluster.add_node(num_cpus=1, **NODE) for _ in range(nodes)]

    @property
    def options(self) -> dict[str, Any]:
        return {"launcher": "ray", "address": self.cluster.address}

    def replace(self) -> None:
        """Kill the oldest node, and add one."""
        self.cluster.remove_node(self.nodes.pop(0), allow_graceful=False)
        self.nodes.append(self.cluster.add_node(num_cpus=1, **NODE))


def moments(kills: int, rows: int) -> list[float]:
    """Return the numbers of rows on disk at which a kill falls."""
    return [(number + 0.5) / kills * rows for number in range(kills)]


def wait_for_rows(sweep: Sweep, process: subprocess.Popen[str], rows: float) -> bool:
    """Return whether the sweep came to this many rows before its command ended."""
    while process.poll() is None:
        if sweep.rows() >= rows:
            return True
        time.sleep(POLL)
    return False


def lost_steps(sweep: Sweep) -> int:
    """Return how many steps of runs, at most, are behind the last checkpoints of a driver that was killed."""
    lost = 0
    for manifest in sweep.folder.glob("parts/*.json"):
        runs, stack = len(json.loads(manifest.read_bytes())["runs"]), manifest.stem
        rows = {
            table: manifest.with_name(f"{stack}.{table}.csv").read_bytes() for table in ("metrics", "runs")
        }
        left = runs + 1 - rows["runs"].count(b"\n")  # a header and the ends of runs
        if not left:
            continue
        kept = rows["metrics"].index(b"\n") + 1
        checkpoint = sweep.folder / "checkpoints" / f"{stack}.pt"
        if checkpoint.exists():  # its second line has the lengths of the files that it goes with
            kept = json.loads(checkpoint.read_bytes().split(b"\n", 2)[1])["metrics"]
        lost += EVERY * (rows["metrics"].count(b"\n", kept) + left)
    return lost


def kill_drivers(sweep: Sweep, whole: Sweep, kills: int, machines: Machines) -> dict[str, Any]:
    killed, twice = 0, 0
    for rows in moments(kills, whole.rows()):
        process = sweep.start()
        alive = wait_for_rows(sweep, process, rows)
        if alive:
            process.kill()
        process.communicate()
        if alive and process.returncode == -signal.SIGKILL:
            killed += 1
            twice += lost_steps(sweep)
            print(f"driver {killed} killed at {sweep.rows()} of {whole.rows()} rows", flush=True)
    end_well(sweep.start())
    return {"kills": killed, **compared(sweep, whole, whole.session(0)["run_steps"] + twice)}


def kill_nodes(sweep: Sweep, whole: Sweep, kills: int, machines: Machines) -> dict[str, Any]:
    killed = 0
    process = sweep.start()
    for rows in moments(kills, whole.rows()):
        if wait_for_rows(sweep, process, rows):
            machines.replace()
            killed += 1
            print(f"node {killed} killed at {sweep.rows()} of {whole.rows()} rows", flush=True)
    said = end_well(process)
    found = compared(sweep, whole, sweep.session(0)["run_steps"])
    return {"kills": killed, "stacks_lost": said.count("its node is lost"), **found}


def compared(sweep: Sweep, whole: Sweep, made: int) -> dict[str, Any]:
    """Return whether the records are equal, and the share of steps that were made twice."""
    once = whole.session(0)["run_steps"]
    return {"identical": sweep.records() == whole.records(), "steps_twice": made / once - 1}


def seconds(sweep: Sweep) -> float:
    sweep.clear()
    began = time.monotonic()
    end_well(sweep.start())
    return time.monotonic() - began


def overhead(new: Callable[..., Sweep], rounds: int) -> dict[str, Any]:
    """Return how much longer Ray takes than processes, measured in turns."""
    ray = new("by_ray", {"launcher": "ray", "workers": 2})
    processes = new("by_processes", {"launcher": "processes", "workers": 2})
    pairs = []
    for number in range(rounds):
        order = [processes, ray] if number % 2 == 0 else [ray, processes]  # neither always comes first
        taken = {sweep: seconds(sweep) for sweep in order}
        pairs.append((taken[processes], taken[ray]))
        print(f"round {number + 1}: processes {pairs[-1][0]:.0f} s, ray {pairs[-1][1]:.0f} s", flush=True)
    ratios = [theirs / ours for ours, theirs in pairs]
    return {
        "processes_seconds": statistics.median(ours for ours, _ in pairs),
        "ray_seconds": statistics.median(theirs for _, theirs in pairs),
        "ratio": statistics.median(ratios),
        "smallest": min(ratios),
        "largest": max(ratios),
        "n": rounds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=10, help="of each kind")
    parser.add_argument("--rounds", type=int, default=3, help="timings of each launcher")
    parser.add_argument("--checkpoint-every", type=float, default=5.0)
    parser.add_argument("--steps", type=int, help="of each run; fewer for a slow or busy machine")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--only", choices=("drivers", "nodes", "overhead"))
    options = parser.parse_args()
    options.threads = 1
    if options.short:
        options.kills, options.rounds, options.checkpoint_every = 1, 0, 0.25
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        config = root / "torture.yaml"
        size = dict(SHORT if options.short else FULL)
        size["steps"] = options.steps or size["steps"]
        config.write_text(CONFIG.format(**size), encoding="utf-8")

        def new(name: str, launcher: dict[str, Any] | None = None) -> Sweep:
            return Sweep(config, root / name, options, launcher)

        if options.only != "overhead":
            whole = new("whole")
            print(f"single process: {seconds(whole):.0f} s", flush=True)
            for name, kill in (("drivers", kill_drivers), ("nodes", kill_nodes)):
                if options.only in (None, name):
                    machines = Machines()
                    found = kill(new(name, machines.options), whole, options.kills, machines)
                    machines.cluster.shutdown()
                    print(f"{name}: {found}", flush=True)
                    if not found["identical"] or found["steps_twice"] >= MOST_TWICE or not found["kills"]:
                        missed.append(name)
        if options.rounds and options.only in (None, "overhead"):
            found = overhead(new, options.rounds)
            print(f"overhead: {found}", flush=True)
            if found["ratio"] >= 1 + MOST_OVERHEAD:
                missed.append("overhead")
    sys.exit(f"missed: {', '.join(missed)}" if missed else 0)


if __name__ == "__main__":
    main()
