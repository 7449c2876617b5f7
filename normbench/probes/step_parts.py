"""The parts of a stack's training step that a probe can time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class StepParts:
    """The parts of a step as functions. All work on copies of the stack's state.

    Attributes:
        runs: number of runs in the stack.
        forward: makes the training forward pass.
        backward: makes the forward pass and computes the gradients.
        step: makes the whole step: forward pass, gradients, update.
        wait: waits until the device has finished its work.
        saved_bytes: returns the bytes that one run's forward pass keeps for its backward pass.
        parameter_bytes: bytes of one run's parameters.
    """

    runs: int
    forward: Callable[[], object]
    backward: Callable[[], object]
    step: Callable[[], object]
    wait: Callable[[], None]
    saved_bytes: Callable[[], int]
    parameter_bytes: int
