"""Trains the stacks of a plan in this process, one after the other."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from normbench.data import load
from normbench.engine.events import RunEnd
from normbench.engine.loop import StackTrainer
from normbench.errors import NormbenchError
from normbench.launch.reporter import Reporter
from normbench.plan import Plan, RunSpec, Stack, split_stack, stack_key
from normbench.records import ResultsFolder


@dataclass
class Tally:
    """What a launch did: runs by status, and the executors that trained them."""

    trained: int = 0
    crashed: int = 0
    interrupted: bool = False
    executors: set[str] = field(default_factory=set)


def train_stacks(
    plan: Plan,
    stacks: Sequence[Stack],
    folder: ResultsFolder,
    reporter: Reporter,
    should_stop: Callable[[], bool],
) -> Tally:
    """Train the stacks and write what they tell to the folder's part files, until done or told to stop."""
    tally = Tally()
    left = list(stacks)
    while left:
        if should_stop():
            tally.interrupted = True
            break
        stack = left.pop(0)
        reporter.stack(stack_name(stack))
        try:
            _train(plan, stack, folder, reporter, should_stop, tally)
        except NormbenchError:
            raise
        except Exception:
            if len(stack.runs) > 1:
                # one of them may be at fault: each half alone, and so on, until it stands by itself
                reporter.message(f"{stack_name(stack)} raised an error; training it again in halves")
                left = [*split_stack(stack), *left]
                continue
            run = stack.runs[0]
            with folder.writer(stack) as writer:
                writer.write(crash(run, stack.executor, traceback.format_exc()))
            reporter.message(f"run {run.run_id} crashed; its traceback is kept in crashes/{run.run_id}.txt")
            tally.crashed += 1
    return tally


def _train(
    plan: Plan,
    stack: Stack,
    folder: ResultsFolder,
    reporter: Reporter,
    should_stop: Callable[[], bool],
    tally: Tally,
) -> None:
    settings = stack.runs[0].settings
    dtype = torch.float64 if settings.train.dtype == "float64" else torch.float32
    dataset = load(settings.data, plan.data_dir, dtype=dtype, device=plan.device)
    trainer = StackTrainer(stack.runs, dataset, stack.executor, stack_key(settings), advance=reporter.advance)
    ended = 0
    with folder.writer(stack) as writer:
        step = 0
        for event in trainer.events(should_stop):
            writer.write(event)
            ended += isinstance(event, RunEnd)
            if trainer.state.step != step:  # what was measured is on disk before the next steps
                step = trainer.state.step
                writer.flush()
    tally.trained += ended
    tally.executors.add(stack.executor)
    if ended < len(stack.runs):
        tally.interrupted = True


def stack_name(stack: Stack) -> str:
    """Return what people call a stack: its net, its normalization, and how many runs it has."""
    model = stack.runs[0].settings.model
    seeds = sorted({run.seed for run in stack.runs})
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    depth = f" depth {model.depth}" if hasattr(model, "depth") else ""
    return f"{model.name}{depth}, {model.activation}, {model.norm.name}: {len(stack.runs)} runs, {which}"


def crash(run: RunSpec, executor: str, error: str) -> RunEnd:
    """Return the end of a run that raised an exception, with its traceback."""
    return RunEnd(
        run_id=run.run_id,
        status="crashed",
        steps=0,
        diverged_at_step=None,
        train_loss_last_tenth=None,
        label_entropy=float("nan"),
        parameters=0,
        train_seconds=0.0,
        executor=executor,
        error=error,
    )
