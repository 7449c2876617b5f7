"""Trains the stacks of a plan in this process, one after the other."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from normbench.data import load
from normbench.engine.checkpoint import UnfitError
from normbench.engine.events import RunEnd
from normbench.engine.loop import StackTrainer
from normbench.engine.state import StackState
from normbench.errors import NormbenchError
from normbench.launch.checkpoints import Checkpoints, Schedule
from normbench.launch.reporter import Reporter
from normbench.plan import Plan, RunSpec, Stack, split_stack, stack_key
from normbench.records import ResultsFolder


@dataclass
class Tally:
    """What a launch did: the runs that ended, the executors, and how many steps it made itself."""

    trained: set[str] = field(default_factory=set)
    crashed: int = 0
    interrupted: bool = False
    executors: set[str] = field(default_factory=set)
    run_steps: Counter[str] = field(default_factory=Counter)  # steps x runs, by stack
    resumed: dict[str, int] = field(default_factory=dict)
    halves: set[str] = field(default_factory=set)  # stacks made of one that raised an error

    def made(self) -> dict[str, Any]:
        """Return what environment.json tells: steps x runs made, and from which step a stack went on."""
        return {
            "run_steps": self.run_steps.total(),
            "run_steps_of": dict(self.run_steps),
            "resumed": self.resumed,
        }


def train_stacks(
    plan: Plan,
    stacks: Sequence[Stack],
    folder: ResultsFolder,
    checkpoints: Checkpoints,
    reporter: Reporter,
    should_stop: Callable[[], bool],
    tally: Tally,
) -> None:
    """Train the stacks and write what they tell to the folder's part files, until done or told to stop."""
    left = list(stacks)
    while left:
        if should_stop():
            tally.interrupted = True
            break
        stack = left.pop(0)
        reporter.stack(stack_name(stack))
        try:
            _train(plan, stack, folder, checkpoints, reporter, should_stop, tally)
            continue
        except NormbenchError:
            raise
        except Exception:
            error = traceback.format_exc()
        if plan.device == "cuda":
            torch.cuda.empty_cache()  # it may have been the memory
        left = [*after_failure(plan, stack, error, folder, checkpoints, reporter, tally), *left]


def after_failure(
    plan: Plan,
    stack: Stack,
    error: str,
    folder: ResultsFolder,
    checkpoints: Checkpoints,
    reporter: Reporter,
    tally: Tally,
) -> tuple[Stack, ...]:
    """Return the halves to train in place of a stack that raised an error, or record the run that crashed."""
    if len(stack.runs) > 1:
        # one of them may be at fault: each half alone, and so on, until it stands by itself
        reporter.message(f"{stack_name(stack)} raised an error; training it again in halves")
        halves = _halves(plan, stack, folder, checkpoints)
        tally.halves |= {half.stack_id for half in halves}
        return halves
    run = stack.runs[0]
    checkpoints.remove(stack.stack_id)  # tried again, it begins anew
    with folder.writer(stack) as writer:
        writer.write(crash(run, stack.executor, error))
    reporter.message(f"run {run.run_id} crashed; its traceback is kept in crashes/{run.run_id}.txt")
    tally.crashed += 1
    return ()


def _train(
    plan: Plan,
    stack: Stack,
    folder: ResultsFolder,
    checkpoints: Checkpoints,
    reporter: Reporter,
    should_stop: Callable[[], bool],
    tally: Tally,
) -> None:
    trainer = _trainer(plan, stack, checkpoints, reporter)
    state = trainer.state
    if state.step:
        resumes(stack, state, reporter, tally)
    else:
        checkpoints.remove(stack.stack_id)  # what cannot be gone on from
    schedule = Schedule(checkpoints.every)
    with folder.writer(stack, lengths=state.lengths if state.step else None) as writer:

        def rest() -> bool:
            stop = should_stop()
            if state.step and (stop or schedule.due()):
                with schedule.saving():
                    checkpoints.save(stack, state, writer)
            return stop

        try:
            step = state.step
            for event in trainer.events(rest):
                writer.write(event)
                if isinstance(event, RunEnd):
                    tally.trained.add(event.run_id)
                if state.step != step:  # what was measured is on disk before the next steps
                    step = state.step
                    writer.flush()
        finally:
            tally.run_steps[stack.stack_id] += trainer.made
    tally.executors.add(stack.executor)
    if state.lanes:
        tally.interrupted = True
    else:
        checkpoints.remove(stack.stack_id)


def resumes(stack: Stack, state: StackState, reporter: Reporter, tally: Tally) -> None:
    """Say and note that a stack goes on from a checkpoint."""
    steps = stack.runs[0].settings.train.steps
    reporter.message(f"{stack_name(stack)}: goes on at step {state.step:,} of {steps:,}")
    if stack.stack_id not in tally.halves | tally.resumed.keys():  # else this session counted these steps
        gone = len(stack.runs) - len(state.lanes)
        reporter.skip(gone * steps + len(state.lanes) * state.step)
    tally.resumed[stack.stack_id] = state.step


def begins_anew(stack: Stack, reason: str, reporter: Reporter) -> None:
    """Say why a checkpoint is not gone on from; without one there is nothing to say."""
    if reason:
        reporter.message(f"{stack_name(stack)}: begins anew, for its checkpoint cannot be used: {reason}")


def _trainer(plan: Plan, stack: Stack, checkpoints: Checkpoints, reporter: Reporter) -> StackTrainer:
    """Return the trainer of a stack: from its checkpoint, or from its beginning with the reason said."""
    settings = stack.runs[0].settings
    dtype = torch.float64 if settings.train.dtype == "float64" else torch.float32
    dataset = load(settings.data, plan.data_dir, dtype=dtype, device=plan.device)
    make = partial(
        StackTrainer, stack.runs, dataset, stack.executor, stack_key(settings), advance=reporter.advance
    )
    state, reason = checkpoints.load(stack, plan.device)
    if state is not None:
        try:
            return make(state=state)
        except UnfitError as error:
            reason = str(error)
    begins_anew(stack, reason, reporter)
    return make()


def _halves(plan: Plan, stack: Stack, folder: ResultsFolder, checkpoints: Checkpoints) -> tuple[Stack, ...]:
    """Return the halves of a stack that raised an error, with its last checkpoint divided among them."""
    state, _ = checkpoints.load(stack, plan.device)
    if state is None:
        return split_stack(stack)
    halves = split_stack(stack, [stack.runs[run] for run in state.lanes])
    first = 0
    for half in halves:
        positions = range(first, first + len(half.runs))
        first += len(half.runs)
        with folder.writer(half) as writer:
            writer.take_over(stack.stack_id, state.lengths)
            checkpoints.save(half, state.of(positions), writer)
    checkpoints.remove(stack.stack_id)
    return halves


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
