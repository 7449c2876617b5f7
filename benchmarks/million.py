"""Measures `plan` and the driver's records with up to a million runs of 10 evaluations, made up, not trained.

    python benchmarks/million.py                    # 10,000, 100,000 and 1,000,000 runs
    python benchmarks/million.py --runs 10000       # a few seconds

Each size is a process of its own, so that its peak memory is known. The sweep has 10 normalizations, 50
learning rates, 20 seeds, and as many depths and widths as it takes: 1,000 runs for each net. Printed are the
seconds of CPU time, which other work on the machine hardly changes, and the peak memory so far, for each of
these steps:

- plan: from the YAML text to runs and stacks, with the estimate, as `normbench plan` does
- open: an empty results folder, as `run` does before it trains
- record: the part files of all stacks, through the recorder that every launcher uses: a manifest for each
  stack, 10 rows of metrics and an end for each run
- merge: the part files into metrics.csv and runs.csv, as at the end of a session
- open again: the folder with all results, as `run` does that finds nothing to train
- ends, statuses: what a session asks after that
- read: the tables, as `verify` and `plot` read them
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZES = (10_000, 100_000, 1_000_000)
NORMS = (
    "none, batchnorm, layernorm, rmsnorm, {name: groupnorm, groups: 2}, {name: groupnorm, groups: 4}, "
    "{name: batchnorm, momentum: 0.2}, {name: batchnorm, eps: 0.001}, {name: layernorm, eps: 0.001}, "
    "{name: rmsnorm, eps: 0.001}"
)
CONFIG = """
name: million
seeds: 20
data: {{name: digits, batch_size: 20}}
model: {{name: mlp}}
train: {{steps: 900, eval_every: 100}}
sweep:
  model.norm: [{norms}]
  model.depth: [{depths}]
  model.width: [{widths}]
  optimizer.lr: {{logspace: {{from: 0.0001, to: 10, num: 50}}}}
"""
EVALUATIONS = 10


class Watch:
    """Keeps the CPU seconds of each step and the peak memory after it."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[float, float]] = {}
        self._since = time.process_time()

    def note(self, step: str) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self.found[step] = time.process_time() - self._since, peak
        print(f"  {step}: {self.found[step][0]:.1f} s, {peak:,.0f} MB", file=sys.stderr, flush=True)
        self._since = time.process_time()


def config(runs: int) -> str:
    nets = max(1, runs // 10_000)
    depths = min(nets, 10)
    widths = [8 * (place + 1) for place in range(-(-nets // depths))]
    return CONFIG.format(
        norms=NORMS, depths=", ".join(map(str, range(1, depths + 1))), widths=", ".join(map(str, widths))
    )


def measure(runs: int, root: Path, only_plan: bool = False) -> dict[str, tuple[float, float]]:
    from normbench.analysis.tables import load_tables
    from normbench.config import dump_config, parse_config
    from normbench.engine.events import Evaluation, RunEnd
    from normbench.launch.checkpoints import Checkpoints
    from normbench.launch.messages import Done, Progress
    from normbench.launch.recorder import Recorder
    from normbench.launch.reporter import Reporter
    from normbench.planning.estimate import estimate
    from normbench.planning.plan import make_plan
    from normbench.records import ResultsFolder

    watch = Watch()
    gc.disable()  # as `normbench plan` does
    experiment = parse_config(config(runs))
    plan = make_plan(experiment, device="cpu")
    stacks = plan.stacks
    estimate(plan)
    gc.enable()
    watch.note("plan")
    assert len(plan.runs) == runs, len(plan.runs)
    facts = {"stacks": (len(stacks), 0.0)}
    if only_plan:
        return {**watch.found, **facts}
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, dump_config(experiment))
        watch.note("open")
        recorder = Recorder(plan, folder, Checkpoints(folder, None), Reporter())
        for stack in stacks:
            recorder.begin(stack)
            for step in range(0, 1000, 100):
                events = [
                    Evaluation(run.run_id, step, step / 75, 0.1, 2.3, 0.5, None, None, 2.4, 0.45)
                    for run in stack.runs
                ]
                recorder.handle(stack, Progress(tuple(events), 0, 0))
            ends = [
                RunEnd(run.run_id, "finished", 900, None, 0.3, 2.3, 1000, 0.5, stack.executor)
                for run in stack.runs
            ]
            recorder.handle(stack, Progress(tuple(ends), 0, 0))
            recorder.handle(stack, Done())
        watch.note("record")
        folder.merge()
        watch.note("merge")
    size = sum(path.stat().st_size for path in root.glob("*.csv"))
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, dump_config(experiment))
        watch.note("open again")
        assert len(folder.ends()) == runs
        assert len(folder.finished_ids()) == runs
        watch.note("ends, statuses")
    tables = load_tables(root)
    assert len(tables.metrics) == runs * EVALUATIONS
    watch.note("read")
    return {**watch.found, **facts, "MB of CSV": (size / 2**20, 0.0)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, nargs="+", default=SIZES, help="multiples of 10,000")
    parser.add_argument("--only", choices=("plan",), help="leave out the records")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(options.runs[0], Path(folder) / "million", options.only == "plan")))
        return
    for runs in options.runs:
        print(f"{runs:,} runs", flush=True)
        command = [sys.executable, __file__, "--inside", "--runs", str(runs)]
        command += ["--only", options.only] if options.only else []
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        for step, (value, peak) in json.loads(done.stdout).items():
            print(f"  {step:<16}{value:10,.1f}" + (f" s {peak:10,.0f} MB" if peak else ""), flush=True)


if __name__ == "__main__":
    main()
