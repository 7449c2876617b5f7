"""Trains the stacks of a plan in this process, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from normbench.launch.recorder import Recorder
from normbench.launch.room import Room
from normbench.launch.train_stack import train_stack
from normbench.planning.runs import Stack


def train_here(
    recorder: Recorder, stacks: Sequence[Stack], should_stop: Callable[[], bool], room: Room | None = None
) -> None:
    """Train the stacks until all are done or `should_stop` returns true.

    Args:
        recorder: writes what happens.
        stacks: to train.
        should_stop: asked after each chunk of steps.
        room: fits the number of threads to the load before each chunk; None to keep the number.
    """
    left = deque(stacks)
    while left:
        if should_stop():
            recorder.tally.interrupted = True
            return
        stack = left.popleft()
        if room is not None:
            room.fit(stack.executor)
        for message in train_stack(recorder.begin(stack), should_stop):
            if room is not None:
                room.fit(stack.executor)
            left.extendleft(reversed(recorder.handle(stack, message)))
