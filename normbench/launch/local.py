"""Trains the stacks of a plan in this process, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from normbench.launch.recorder import Recorder
from normbench.launch.train_stack import train_stack
from normbench.planning.runs import Stack


def train_here(recorder: Recorder, stacks: Sequence[Stack], should_stop: Callable[[], bool]) -> None:
    """Train the stacks until all are done or `should_stop` returns true."""
    left = deque(stacks)
    while left:
        if should_stop():
            recorder.tally.interrupted = True
            return
        stack = left.popleft()
        for message in train_stack(recorder.begin(stack), should_stop):
            left.extendleft(reversed(recorder.handle(stack, message)))
