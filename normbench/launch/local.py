"""Trains the stacks of a plan in this process, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import torch

from normbench.engine.heap import give_back_memory
from normbench.launch.recorder import Recorder
from normbench.launch.room import Room
from normbench.launch.train_stack import train_stack
from normbench.planning.runs import Stack


class Local:
    """The launcher that needs no other process.

    Args:
        threads: of torch; None for torch's own choice.
        fitting: whether to fit the number of threads to the load before each chunk.
    """

    workers = 1

    def __init__(self, threads: int | None, fitting: bool = False) -> None:
        self.threads, self._fitting = threads, fitting

    def train(self, recorder: Recorder, stacks: Sequence[Stack], should_stop: Callable[[], bool]) -> None:
        """Train the stacks until all are done or `should_stop` returns true; see `Launcher`."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        room = Room() if self._fitting else None
        try:
            _train(recorder, stacks, should_stop, room)
        finally:
            give_back_memory()  # the process may be a user's, who goes on
            if room is not None:
                torch.set_num_threads(room.most)

    def close(self) -> None:
        """Do nothing: there is nothing to end."""


def _train(
    recorder: Recorder, stacks: Sequence[Stack], should_stop: Callable[[], bool], room: Room | None
) -> None:
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
