"""Kills a real MNIST sweep repeatedly, starts it again each time, and compares its records.

    python benchmarks/torture.py                          # 50 kills, about 35 minutes on 2 cores
    python benchmarks/torture.py --launcher processes     # 10 kills of one of two workers, about 3 minutes
    python benchmarks/torture.py --quick --kills 5        # a small sweep, about 2 minutes

The sweep has three stacks, with three normalizations (including batch normalization with its running
statistics), dropout, Adam, and a rate that diverges. It is trained once without a kill. Then, for each of the
N kills:

1. The sweep starts in a fresh folder.
2. SIGKILL comes at the next of N moments, which are spread evenly over the training time. Every fourth kill
   waits from there until a file is being written, and falls into that write.
3. The same command runs again, to the end. `metrics.csv` must have the same bytes, and `runs.csv` the same
   cells except for train_seconds.

With `--launcher processes` a worker is killed instead of the command. The command must continue by itself and
end with the records of the single process.

Training time is CPU time, so other work on the machine, or a pause, shifts no moment.

For each kill the script prints:

- the progress of the sweep (rows on disk) and of the stack in training (its last row)
- whether there was a checkpoint
- whether the kill fell into a write (a temporary file that is not yet renamed, or a torn line)
- the share of this stack's steps that the second start made, as the engine counted them (environment.json:
  run_steps_of)

The exit code is 1 if a kill left other records, if 30 % or more of a stack's steps were made again after a
kill past 80 % of it, or if there were too few kills of a kind (70 % after the first checkpoint, 10 % during a
write, one past 80 % of a stack). It needs /proc (Linux) and MNIST.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
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
FULL = {"seeds": 3, "images": 10000, "width": 100, "steps": 1000, "every": 50}
QUICK = {"seeds": 2, "images": 2000, "width": 32, "steps": 1200, "every": 100}
FULL_KILLS = 50
POLL = 0.002  # seconds
TRIES = 4  # for a kill that has to fall into a write
LATE, MOST_AGAIN = 0.8, 0.3  # shares of the steps of the stack in training
AFTER_CHECKPOINT, DURING_WRITE = 0.7, 0.1  # smallest shares of the kills
WORKERS = 2
TRAINED = 1.0  # seconds of CPU time that a worker trains before it is killed
TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK


class Sweep:
    """One results folder, and the command that trains into it."""

    def __init__(
        self, config: Path, root: Path, options: argparse.Namespace, launcher: dict[str, Any] | None = None
    ) -> None:
        self.folder = root / "torture"
        call = {
            "results": str(root),
            "threads": options.threads,
            "checkpoint_every": options.checkpoint_every,
            **(launcher or {}),
        }
        # the same call as in `normbench run`, without drawing figures at the end
        code = (
            "from normbench import api\nfrom normbench.cli.progress import reporter_for\n"
            f"if __name__ == '__main__': api.run({str(config)!r}, reporter=reporter_for(), **{call!r})"
        )
        script = root / "run.py"  # a file, because worker processes import their parent's main module
        root.mkdir()
        script.write_text(code, encoding="utf-8")
        self.command = [sys.executable, str(script)]

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True)

    def wait_for_training(self, process: subprocess.Popen[str]) -> float:
        """Return the CPU time when the first rows are on disk, which excludes start-up and reading data."""
        while process.poll() is None and not any(self.folder.glob("parts/*.metrics.csv")):
            time.sleep(POLL)
        return cpu_seconds(process.pid)

    def finish(self) -> float:
        """Train to the end; return the CPU seconds of the training."""
        process = self.start()
        began = last = self.wait_for_training(process)
        while process.poll() is None:
            last = max(last, cpu_seconds(process.pid))
            time.sleep(0.02)
        end_well(process)
        return last - began

    def session(self, number: int) -> dict[str, Any]:
        """Return the counts of a session; a session that found everything trained has written none."""
        sessions = json.loads((self.folder / "environment.json").read_bytes())["sessions"]
        nothing = {"run_steps": 0, "run_steps_of": {}, "resumed": {}}
        return sessions[number] if number < len(sessions) else nothing

    def records(self) -> tuple[bytes, list[dict[str, str]]]:
        with (self.folder / "runs.csv").open(newline="", encoding="utf-8") as file:
            rows = [dict(row, train_seconds="") for row in csv.DictReader(file)]
        return (self.folder / "metrics.csv").read_bytes(), rows

    def rows(self) -> int:
        """Return the number of rows of metrics on disk."""
        files = [*self.folder.glob("parts/*.metrics.csv"), self.folder / "metrics.csv"]
        return sum(max(0, file.read_bytes().count(b"\n") - 1) for file in files if file.exists())

    def in_training(self) -> tuple[str, int] | None:
        """Return the stack in training (after a kill: the last one) and the step of its last row.

        It is None during the merge of the finished parts, when nothing is left to train.
        """
        parts = sorted(self.folder.glob("parts/*.metrics.csv"), key=lambda path: path.stat().st_mtime_ns)
        if not parts:
            return None
        steps = [line.split(b",")[1] for line in parts[-1].read_bytes().split(b"\n")[1:-1]]
        return parts[-1].name.split(".")[0], max(map(int, steps), default=0)

    def writing(self) -> bool:
        """Return whether a temporary file is being written."""
        return any(self.folder.glob("*.tmp")) or any(self.folder.glob("*/*.tmp"))

    def torn(self) -> bool:
        return any(not file.read_bytes().endswith(b"\n") for file in self.folder.glob("parts/*.csv"))

    def kill_at(self, moment: float, in_a_write: bool) -> tuple[bool, bool]:
        """Start, and kill at this second of the training.

        Args:
            moment: CPU seconds of training.
            in_a_write: wait from there until a file is being written.

        Returns:
            Whether the process still ran, and whether it had a checkpoint.
        """
        process = self.start()
        began = self.wait_for_training(process)
        seen = False
        while process.poll() is None:
            seen = seen or any(self.folder.glob("checkpoints/*.pt"))
            if cpu_seconds(process.pid) - began >= moment and (not in_a_write or self.writing()):
                break
            time.sleep(0 if in_a_write else POLL)
        process.kill()
        process.communicate()
        return process.returncode == -signal.SIGKILL, seen

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def end_well(process: subprocess.Popen[str]) -> str:
    """Wait for a process that must succeed; return its messages."""
    _, said = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"ended with {process.returncode}:\n{said}")
    return said


def kill_and_go_on(sweep: Sweep, whole: Sweep, steps: int, moment: float, in_a_write: bool) -> dict[str, Any]:
    """Kill a sweep at a moment, start it again to its end, and return the facts of the kill.

    Args:
        sweep: to kill, in a folder of its own.
        whole: the sweep that was trained without a kill.
        steps: of each stack.
        moment: CPU seconds of training.
        in_a_write: the kill has to fall into a write; it is repeated at most `TRIES` times.
    """
    tries = TRIES if in_a_write else 1
    while True:
        killed, seen = sweep.kill_at(moment, in_a_write)
        during_write = sweep.writing() or sweep.torn()
        tries -= killed
        if killed and (during_write or tries <= 0):
            break
        if not killed:  # it was faster than the sweep without a kill: try a little earlier
            moment *= 0.95
        sweep.clear()
    kill: dict[str, Any] = {
        "rows": min(sweep.rows() / whole.rows(), 1.0),
        "after_checkpoint": seen,
        "checkpoint_there": any(sweep.folder.glob("checkpoints/*.pt")),
        "during_write": during_write,
    }
    training = sweep.in_training()
    sweep.finish()
    once, again = whole.session(0)["run_steps_of"], sweep.session(1)["run_steps_of"]
    stack, step = training or (next(iter(once)), steps)
    kill["stack_done"] = step / steps
    kill["stack_again"] = again.get(stack, 0) / once[stack]
    kill["steps_again"] = sum(again.values()) / sum(once.values())
    kill["resumed"] = sweep.session(1)["resumed"]
    kill["identical"] = sweep.records() == whole.records()
    return kill


def told(kill: dict[str, Any]) -> str:
    return (
        f"killed with {kill['rows']:4.0%} of the rows, {kill['stack_done']:4.0%} of the stack, "
        f"{'after' if kill['after_checkpoint'] else 'before'} the first checkpoint"
        f"{', during a write' if kill['during_write'] else ''}; then made {kill['stack_again']:.0%} of the "
        f"stack's steps, {kill['steps_again']:.0%} of all, continued from {kill['resumed'] or 'none'}: "
        f"{'identical' if kill['identical'] else 'DIFFERENT'}"
    )


def counted(kills: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """Return the counts of all kills, and the names of the conditions that they miss."""
    late = [kill["stack_again"] for kill in kills if kill["stack_done"] >= LATE]
    counts = {
        "kills": len(kills),
        "identical": sum(kill["identical"] for kill in kills),
        "after_checkpoint": sum(kill["after_checkpoint"] for kill in kills),
        "went_on_from_a_checkpoint": sum(bool(kill["resumed"]) for kill in kills),
        "during_write": sum(kill["during_write"] for kill in kills),
        "past_80_percent_of_a_stack": len(late),
        "most_of_its_steps_made_again": max(late, default=None),
    }
    enough = {
        "identical": counts["identical"] == len(kills),
        "after_checkpoint": counts["after_checkpoint"] >= AFTER_CHECKPOINT * len(kills),
        "during_write": counts["during_write"] >= int(DURING_WRITE * len(kills)),
        "past_80_percent_of_a_stack": len(late) > 0 or len(kills) < FULL_KILLS,
        "most_of_its_steps_made_again": max(late, default=0.0) < MOST_AGAIN,
    }
    return counts, [name for name, is_enough in enough.items() if not is_enough]


def kill_commands(config: Path, root: Path, options: argparse.Namespace, whole: Sweep, seconds: float) -> Any:
    """Kill the whole command `options.kills` times, each time in a new folder.

    Args:
        config: path of the sweep's config.
        root: folder for all results.
        options: of the command line.
        whole: the sweep that was trained without a kill.
        seconds: CPU time of its training.

    Returns:
        The counts, and the names of the conditions that are missed.
    """
    steps = (QUICK if options.quick else FULL)["steps"]
    kills = []
    for number in range(options.first - 1, options.kills):
        sweep = Sweep(config, root / str(number), options)
        moment = (number + 0.5) / options.kills * seconds
        kills.append(kill_and_go_on(sweep, whole, steps, moment, number % 4 == 3))
        print(f"{number + 1:3}: {told(kills[-1])}", flush=True)
    counts, missed = counted(kills)
    return {**counts, "each": kills}, missed


def kill_workers(config: Path, root: Path, options: argparse.Namespace, whole: Sweep) -> Any:
    """Kill workers, evenly over the rows of a sweep; repeat until `options.kills` were replaced.

    Args:
        config: path of the sweep's config.
        root: folder for all results.
        options: of the command line.
        whole: the sweep that was trained without a kill.

    Returns:
        The counts, and the names of the conditions that are missed.
    """
    sweeps: list[dict[str, Any]] = []
    left = options.kills
    while left > 0:
        sweep = Sweep(config, root / str(len(sweeps)), options, {"launcher": "processes", "workers": WORKERS})
        process = sweep.start()
        start = None
        killed = 0
        while process.poll() is None:
            moment = (killed + 0.5) / left * whole.rows()
            workers = {pid: cpu_seconds(pid) for pid in workers_of(process.pid)}
            if start is None and any(sweep.folder.glob("parts/*.metrics.csv")):
                start = max(workers.values(), default=0.0)
            ready = [pid for pid, spent in workers.items() if start is not None and spent > start + TRAINED]
            if killed < left and ready and sweep.rows() >= moment:
                time.sleep(killed / left * options.checkpoint_every)  # anywhere between two rows
                os.kill(ready[killed % len(ready)], signal.SIGKILL)
                killed += 1
            time.sleep(POLL)
        replaced = end_well(process).count("a worker was killed")
        sweeps.append(
            {
                "killed": killed,
                "replaced": replaced,
                "run_steps": sweep.session(0)["run_steps"] / whole.session(0)["run_steps"],
                "identical": sweep.records() == whole.records(),
            }
        )
        left -= replaced
        print(
            f"{killed} workers killed, {replaced} replaced with their stacks in training; made "
            f"{sweeps[-1]['run_steps']:.0%} of the steps of the single process, continued from "
            f"{sweep.session(0)['resumed'] or 'none'}: "
            f"{'identical' if sweeps[-1]['identical'] else 'DIFFERENT'}",
            flush=True,
        )
    missed = [] if all(one["identical"] for one in sweeps) else ["identical"]
    return {"workers_killed": sum(one["replaced"] for one in sweeps), "sweeps": sweeps}, missed


def workers_of(pid: int) -> list[int]:
    """Return the worker processes of a command."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(one) for one in children if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()]
    except OSError:  # one of them ended meanwhile
        return []


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, help="number of kills (default: 50; with processes 10)")
    parser.add_argument("--first", type=int, default=1, help="start with the kill of this number")
    parser.add_argument("--launcher", choices=("local", "processes"), default="local")
    parser.add_argument("--quick", action="store_true", help="a small sweep")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checkpoint-every", type=float, default=None, metavar="SECONDS")
    parser.add_argument("--out", type=Path, help="write the counts to this file as JSON")
    options = parser.parse_args()
    if options.kills is None:
        options.kills = FULL_KILLS if options.launcher == "local" else 10
    if options.checkpoint_every is None:
        options.checkpoint_every = 0.2 if options.quick else 0.5
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        config = root / "torture.yaml"
        config.write_text(CONFIG.format(**(QUICK if options.quick else FULL)), encoding="utf-8")
        whole = Sweep(config, root / "whole", options)
        seconds = whole.finish()
        print(
            f"without a kill: {seconds:.1f} s of training, {whole.session(0)['run_steps']:,} steps of runs, "
            f"{whole.rows()} rows",
            flush=True,
        )
        if options.launcher == "local":
            counts, missed = kill_commands(config, root, options, whole, seconds)
        else:
            counts, missed = kill_workers(config, root, options, whole)
    print(json.dumps({name: value for name, value in counts.items() if name != "each"}, indent=1))
    if options.out:
        options.out.write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")
    if missed:
        print(f"conditions not met: {', '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
