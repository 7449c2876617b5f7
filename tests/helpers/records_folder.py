"""A plan, stacks and an engine that trains nothing: its rows follow from the run and the step."""

from __future__ import annotations

import random
from functools import cache

from normbench.config import Experiment, parse_config
from normbench.engine.events import Evaluation, RunEnd
from normbench.planning.plan import Plan
from normbench.planning.runs import RunSpec, Stack
from normbench.records import ResultsFolder

CONFIG = "name: x\ntrain:\n  steps: 30\n"
EXPERIMENT = """
name: x
data: {name: digits}
model: {name: mlp, depth: 1, width: 4}
train: {steps: 30, eval_every: 10}
"""


@cache
def experiment() -> Experiment:
    return parse_config(EXPERIMENT)


def plan_of(runs, columns=("model.norm", "optimizer.lr")):
    return Plan(experiment(), tuple(runs), tuple(columns), device="cpu", executor="vectorized", data_dir=None)


def make_plan(seeds=2, rates=(0.1, 1.0, 100.0), norms=("none", "batchnorm"), trains_below=0.5):
    settings = experiment().settings
    train = settings.train.model_copy(update={"trains_below": trains_below})
    settings = settings.model_copy(update={"train": train})
    runs = []
    for i, norm in enumerate(norms):
        for rate in rates:
            for seed in range(seeds):
                run_id = f"{i:02x}{int(rate * 10):06x}{seed:04x}"
                runs.append(RunSpec(run_id, seed, settings, {"model.norm": norm, "optimizer.lr": rate}))
    return plan_of(runs)


def stacks_of(plan, size=4):
    groups = [plan.runs[i : i + size] for i in range(0, len(plan.runs), size)]
    return [Stack(f"{i:08x}", tuple(group), "vectorized") for i, group in enumerate(groups)]


def events(stack, steps=30, every=10, layers=False):
    """Yield the events of an engine: runs at a rate of 100 diverge at step 15, the others finish."""
    gone = set()
    for step in range(0, steps + 1, every):
        for run in stack.runs:
            if run.run_id in gone:
                continue
            if run.values["optimizer.lr"] >= 100 and step > 15:
                gone.add(run.run_id)
                yield end(run, "diverged", 15, stack)
                continue
            yield evaluation(run, step)
    for run in stack.runs:
        if run.run_id not in gone:
            yield end(run, "finished", steps, stack)


def evaluation(run, step):
    draw = random.Random(f"{run.run_id}/{step}")
    loss, accuracy = (None, None) if step == 0 else (draw.random() * 2, draw.random())
    rate = run.values["optimizer.lr"]
    return Evaluation(
        run.run_id, step, step * 0.1, rate, loss, accuracy, None, None, draw.random(), draw.random()
    )


def end(run, status, steps, stack, error=None):
    loss = None if status == "crashed" else random.Random(run.run_id).random() * 2.3
    diverged = steps if status == "diverged" else None
    return RunEnd(run.run_id, status, steps, diverged, loss, 2.302585, 1000, 0.5, stack.executor, error)


def train(folder, stack, upto=None, **options):
    """Write the events of a stack, all or the first `upto`; return their number."""
    with folder.writer(stack, **options) as writer:
        written = 0
        for written, event in enumerate(events(stack), start=1):
            if upto is not None and written > upto:
                return written - 1
            writer.write(event)
    return written


def run_all(root, plan, order=None, size=4, config=CONFIG, keep_old=False):
    """Open the folder, train what is missing, merge, close; return the stacks that were trained."""
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, config, keep_old=keep_old)
        done = folder.finished_ids()
        again = {stack.stack_id for stack in folder.open_stacks()}
        stacks = [
            stack
            for stack in stacks_of(plan, size)
            if stack.stack_id in again or not {run.run_id for run in stack.runs} <= done
        ]
        for stack in order(stacks) if order else stacks:
            train(folder, stack)
        folder.merge()
        return stacks


def merged(root):
    return {name: (root / name).read_bytes() for name in ("metrics.csv", "runs.csv")}


def tree(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
