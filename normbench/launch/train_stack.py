"""Trains one stack and tells what happens as messages. Every launcher uses it, in whatever process."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Iterator

import torch

from normbench.data import Dataset, load
from normbench.engine.checkpoint import UnfitError, dump_state, load_state
from normbench.engine.heap import keep_freed_memory
from normbench.engine.loop import StackTrainer
from normbench.engine.state import StackState
from normbench.errors import NormbenchError
from normbench.launch.checkpoints import Schedule
from normbench.launch.faults import Fault
from normbench.launch.messages import (
    Assignment,
    Checkpoint,
    Done,
    Ending,
    Failed,
    Final,
    Message,
    Progress,
    Stopped,
    Unfit,
)
from normbench.planning.stacks import stack_key


def train_stack(
    assignment: Assignment, should_stop: Callable[[], bool], fetch: Callable[..., Dataset] = load
) -> Iterator[Message]:
    """Train a stack from its checkpoint, or from step 0.

    Args:
        assignment: the stack and what it needs.
        should_stop: asked after each chunk of steps; if true, a checkpoint is made and the training ends.
        fetch: returns the data set, called as `data.load` is.

    Yields:
        `Progress` after each chunk, `Checkpoint` when one is due, `Final` before the last `Progress` if the
        state is to be kept, and at last an `Ending`.

    Raises:
        NormbenchError: no stack can be trained, for example because the data is gone.
    """
    try:
        finished = yield from _train(assignment, should_stop, fetch)
        ending: Ending = Done() if finished else Stopped()
    except UnfitError as error:
        ending = Unfit(str(error))
    except NormbenchError:
        raise
    except Exception as error:  # a user's layer may raise anything, and so may torch when memory runs out
        ending = Failed(traceback.format_exc(), Fault.of(error))
    if isinstance(ending, Failed) and assignment.device == "cuda":
        torch.cuda.empty_cache()  # outside of `except`, where the traceback still holds the tensors
    yield ending


def _train(
    assignment: Assignment, should_stop: Callable[[], bool], fetch: Callable[..., Dataset]
) -> Generator[Message, None, bool]:
    """Train to the end or until told to stop; return whether all runs ended."""
    keep_freed_memory()
    stack, settings = assignment.stack, assignment.stack.runs[0].settings
    run_ids = [run.run_id for run in stack.runs]
    device = assignment.device
    data = settings.data.for_seed(stack.runs[0].seed)  # that of all its runs, see `form_stacks`
    dataset = fetch(data, assignment.data_dir, dtype=settings.train.torch_dtype, device=device)
    settled = made = 0
    final: list[bytes] = []

    def keep(state: StackState) -> None:
        if assignment.keep_state:
            final.append(dump_state(state, run_ids, stack.executor))

    def advance(run_steps: int) -> None:
        nonlocal settled
        settled += run_steps

    trainer = StackTrainer(
        stack.runs,
        dataset,
        stack.executor,
        stack_key(settings),
        probes=assignment.probes,
        state=None
        if assignment.checkpoint is None
        else load_state(assignment.checkpoint, run_ids, stack.executor, torch.device(device)),
        advance=advance,
        at_end=keep,
    )
    schedule = Schedule(assignment.checkpoint_every)
    while True:
        events = tuple(trainer.events(_after_one_chunk()))
        while final:  # kept before the ends of its runs are, which are then never trained again
            yield Final(final.pop())
        yield Progress(events, trainer.made - made, settled)
        made, settled = trainer.made, 0
        if not trainer.state.lanes:
            return True
        stop = should_stop()
        if stop or schedule.due():
            with schedule.saving():  # includes what the launcher does with the state
                yield Checkpoint(dump_state(trainer.state, run_ids, stack.executor))
        if stop:
            return False


def _after_one_chunk() -> Callable[[], bool]:
    """Return a `should_stop` for the trainer that lets one chunk of steps pass; it then continues."""
    answers = iter((False,))
    return lambda: next(answers, True)
