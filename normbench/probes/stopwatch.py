"""A stack's training step in parts, for the probe that takes their time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Stopwatch:
    """The parts of a step, each a function to call; all work on copies of the stack's state.

    Attributes:
        runs: in the stack.
        forward: the training forward pass.
        backward: the same with the gradients.
        step: the same with the update.
        wait: waits until the device has done what it was given.
        saved_bytes: returns what one run's forward pass keeps for its backward pass.
        parameter_bytes: of one run.
    """

    runs: int
    forward: Callable[[], object]
    backward: Callable[[], object]
    step: Callable[[], object]
    wait: Callable[[], None]
    saved_bytes: Callable[[], int]
    parameter_bytes: int
