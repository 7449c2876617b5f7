"""Kills a real MNIST sweep again and again, starts it again each time, and compares what it leaves.

    python benchmarks/torture.py                      # 50 kills, about 25 minutes on 2 cores
    python benchmarks/torture.py --quick --kills 5    # a small sweep, about 2 minutes

The sweep has three normalizations (batch normalization with its running statistics among them), dropout, Adam
and a rate that diverges, in several stacks. It is trained once undisturbed. Then, for each of the N kills: a
fresh folder, SIGKILL at the next of N moments spread evenly over the training time (every fourth waits from
there for a file that is being written and kills within it), the same command again, to the end. `metrics.csv`
must be the same byte by byte, `runs.csv` in all cells but train_seconds.

Printed for each kill: how far the sweep was (rows on disk), whether a checkpoint was there, whether it fell
into a write (a file written aside and not yet renamed, or a torn line), from which steps the stacks went on,
and the share of all steps that the second start made, as the engine counted them (environment.json:
run_steps). The exit code is 1 if any kill left other records.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CONFIG = """
name: torture
seeds: {seeds}
data: {{name: mnist, train_size: {images}, test_size: 2000, batch_size: 60}}
model:
  {{name: mlp, depth: 3, width: {width}, activation: relu,
   dropout: {{rate: 0.1, placement: after_activation}}}}
optimizer: {{name: adam}}
train: {{steps: {steps}, eval_every: {every}}}
sweep:
  model.norm: [none, batchnorm, layernorm]
  optimizer.lr: [0.0003, 0.003, 1.0e+30]
"""
FULL = {"seeds": 3, "images": 10000, "width": 100, "steps": 2000, "every": 100}
QUICK = {"seeds": 2, "images": 2000, "width": 32, "steps": 1200, "every": 100}
POLL = 0.0005


class Sweep:
    """One results folder, and the command that trains into it."""

    def __init__(self, config: Path, root: Path, options: argparse.Namespace) -> None:
        self.folder = root / "torture"
        call = {
            "results": str(root),
            "threads": options.threads,
            "checkpoint_every": options.checkpoint_every,
        }
        # what `normbench run` calls, without the figures that it draws in the end
        code = f"from normbench import api; api.run({str(config)!r}, **{call!r})"
        self.command = [sys.executable, "-c", code]

    def start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def wait_for_training(self, process: subprocess.Popen[bytes]) -> float:
        """Return when the first rows are on disk: start-up and reading the data are not training."""
        while process.poll() is None and not any(self.folder.glob("parts/*.metrics.csv")):
            time.sleep(POLL)
        return time.monotonic()

    def finish(self) -> float:
        """Train to the end; return how long the training took."""
        process = self.start()
        began = self.wait_for_training(process)
        _, errors = process.communicate()
        if process.returncode != 0:
            raise SystemExit(f"ended with {process.returncode}:\n{errors.decode()}")
        return time.monotonic() - began

    def session(self, number: int) -> dict[str, Any]:
        """Return what a start made; one that found everything trained has written nothing."""
        sessions = json.loads((self.folder / "environment.json").read_bytes())["sessions"]
        return sessions[number] if number < len(sessions) else {"run_steps": 0, "resumed": {}}

    def records(self) -> tuple[bytes, list[dict[str, str]]]:
        with (self.folder / "runs.csv").open(newline="", encoding="utf-8") as file:
            rows = [dict(row, train_seconds="") for row in csv.DictReader(file)]
        return (self.folder / "metrics.csv").read_bytes(), rows

    def rows(self) -> int:
        """Return how many rows of metrics are on disk."""
        files = [*self.folder.glob("parts/*.metrics.csv"), self.folder / "metrics.csv"]
        return sum(max(0, file.read_bytes().count(b"\n") - 1) for file in files if file.exists())

    def writing(self) -> bool:
        """Say whether a file is being written aside."""
        return any(self.folder.glob("*.tmp")) or any(self.folder.glob("*/*.tmp"))

    def torn(self) -> bool:
        return any(not file.read_bytes().endswith(b"\n") for file in self.folder.glob("parts/*.csv"))

    def kill_at(self, moment: float, in_a_write: bool) -> tuple[bool, bool]:
        """Start, kill at this second of the training; return whether it still ran, and had a checkpoint."""
        process = self.start()
        began = self.wait_for_training(process)
        seen = False
        while process.poll() is None:
            seen = seen or any(self.folder.glob("checkpoints/*.pt"))
            if time.monotonic() - began >= moment and (not in_a_write or self.writing()):
                break
            time.sleep(0 if in_a_write else POLL)
        process.kill()
        process.communicate()
        return process.returncode == -signal.SIGKILL, seen


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--quick", action="store_true", help="a small sweep")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checkpoint-every", type=float, default=None, metavar="SECONDS")
    parser.add_argument("--out", type=Path, help="write the counts there as JSON")
    options = parser.parse_args()
    if options.checkpoint_every is None:
        options.checkpoint_every = 0.2 if options.quick else 0.5
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        config = root / "torture.yaml"
        config.write_text(CONFIG.format(**(QUICK if options.quick else FULL)), encoding="utf-8")
        whole = Sweep(config, root / "whole", options)
        seconds = whole.finish()
        rows, steps = whole.rows(), whole.session(0)["run_steps"]
        print(f"undisturbed: {seconds:.1f} s of training, {steps:,} steps of runs, {rows} rows", flush=True)
        kills = []
        for number in range(options.kills):
            sweep = Sweep(config, root / str(number), options)
            moment, in_a_write = (number + 0.5) / options.kills * seconds, number % 4 == 3
            while True:
                killed, seen = sweep.kill_at(moment, in_a_write)
                if killed:
                    break
                shutil.rmtree(root / str(number))  # it was faster than the undisturbed one: a little earlier
                moment *= 0.95
            kill = {
                "rows": min(sweep.rows() / rows, 1.0),
                "after_checkpoint": seen,
                "checkpoint_there": any(sweep.folder.glob("checkpoints/*.pt")),
                "during_write": sweep.writing() or sweep.torn(),
            }
            sweep.finish()
            session = sweep.session(1)
            kill["steps_again"] = session["run_steps"] / steps
            kill["resumed"] = session["resumed"]
            kill["identical"] = sweep.records() == whole.records()
            kills.append(kill)
            print(
                f"{number + 1:3}: killed with {kill['rows']:4.0%} of the rows, "
                f"{'after' if seen else 'before'} the first checkpoint"
                f"{', during a write' if kill['during_write'] else ''}; then made {kill['steps_again']:.0%} "
                f"of the steps, went on from {kill['resumed'] or 'none'}: "
                f"{'identical' if kill['identical'] else 'DIFFERENT'}",
                flush=True,
            )
    late = [kill["steps_again"] for kill in kills if kill["rows"] >= 0.8]
    counts = {
        "kills": len(kills),
        "identical": sum(kill["identical"] for kill in kills),
        "after_checkpoint": sum(kill["after_checkpoint"] for kill in kills),
        "went_on_from_a_checkpoint": sum(bool(kill["resumed"]) for kill in kills),
        "during_write": sum(kill["during_write"] for kill in kills),
        "most_steps_made_twice": max(kill["steps_again"] + kill["rows"] - 1 for kill in kills),
        "killed_after_80_percent": len(late),
        "most_steps_again_after_80_percent": max(late, default=None),
    }
    print(json.dumps(counts, indent=1))
    if options.out:
        options.out.write_text(json.dumps({**counts, "each": kills}, indent=1) + "\n", encoding="utf-8")
    return 0 if counts["identical"] == len(kills) else 1


if __name__ == "__main__":
    raise SystemExit(main())
