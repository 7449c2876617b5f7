"""Trains the stacks of a plan in this process, one after the other."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from functools import partial

import torch

from normbench.data import load
from normbench.engine.checkpoint import UnfitError
from normbench.engine.loop import StackTrainer
from normbench.errors import NormbenchError
from normbench.launch.checkpoints import Schedule
from normbench.launch.launch import Launch, stack_name
from normbench.planning.runs import Stack
from normbench.planning.stacks import stack_key


def train_stacks(launch: Launch, stacks: Sequence[Stack]) -> None:
    """Train the stacks and write what they tell to the folder's part files, until done or told to stop."""
    left = list(stacks)
    while left:
        if launch.should_stop():
            launch.tally.interrupted = True
            break
        stack = left.pop(0)
        launch.reporter.stack(stack_name(stack))
        try:
            _train(launch, stack)
            continue
        except NormbenchError:
            raise
        except Exception:
            error = traceback.format_exc()
        if launch.plan.device == "cuda":
            torch.cuda.empty_cache()  # it may have been the memory
        left = [*launch.after_failure(stack, error), *left]


def _train(launch: Launch, stack: Stack) -> None:
    checkpoints, tally = launch.checkpoints, launch.tally
    trainer = _trainer(launch, stack)
    state = trainer.state
    if state.step:
        launch.resumes(stack, state)
    schedule = Schedule(checkpoints.every)
    with launch.folder.writer(stack, lengths=state.lengths if state.step else None) as writer:

        def rest() -> bool:
            stop = launch.should_stop()
            if state.step and (stop or schedule.due()):
                with schedule.saving():
                    checkpoints.save(stack, state, writer)
            return stop

        try:
            step = state.step
            for event in trainer.events(rest):
                launch.write(event, writer)
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


def _trainer(launch: Launch, stack: Stack) -> StackTrainer:
    """Return the trainer of a stack: from its checkpoint, or from its beginning with the reason said."""
    plan, settings = launch.plan, stack.runs[0].settings
    dataset = load(settings.data, plan.data_dir, dtype=settings.train.torch_dtype, device=plan.device)
    make = partial(
        StackTrainer,
        stack.runs,
        dataset,
        stack.executor,
        stack_key(settings),
        probes=plan.experiment.probes,
        advance=launch.reporter.advance,
    )
    state, reason = launch.checkpoints.load(stack, plan.device)
    if state is not None:
        try:
            return make(state=state)
        except UnfitError as error:
            reason = str(error)
    launch.begins_anew(stack, reason)
    return make()
