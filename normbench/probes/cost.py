"""What a training step costs."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from normbench.names import NET
from normbench.probes.base import Probe
from normbench.probes.stopwatch import Stopwatch


class Cost(Probe):
    """Seconds of forward pass, backward pass and update for each run and step, and bytes.

    The stack's own step on a copy of its state, the fastest of `repeats` after a warm-up, over its runs; with
    this probe no two seeds share a stack, so each is a measurement of its own.
    The parts are differences: backward_seconds is what the gradients take beyond the forward pass,
    update_seconds what the whole step takes beyond these (below 0 where the update is merged into the
    backward pass). saved_bytes: what one run's forward pass keeps for its backward pass, weights left out;
    parameter_bytes: of one run. These times are of this machine, and no run of them is like another.
    """

    name: Literal["cost"] = "cost"
    repeats: int = Field(5, ge=1, le=1000, description="of which the fastest counts")

    of_stack: ClassVar[bool] = True

    def cost(self, net: nn.Module) -> float:
        """Return the three parts, each repeated and warmed up, and a forward pass that counts bytes."""
        return 2.0 * (self.repeats + 1) + 1

    def measure_stack(self, stack: Stopwatch) -> dict[tuple[str, str], float]:
        """Return the numbers that every run of the stack gets."""
        forward, backward, step = (
            self.fastest(part, stack) / stack.runs for part in (stack.forward, stack.backward, stack.step)
        )
        found = {
            "forward_seconds": forward,
            "backward_seconds": backward - forward,
            "update_seconds": step - backward,
            "step_seconds": step,
            "saved_bytes": float(stack.saved_bytes()),
            "parameter_bytes": float(stack.parameter_bytes),
        }
        return {(NET, f"cost.{name}"): value for name, value in found.items()}

    def fastest(self, part: Callable[[], object], stack: Stopwatch) -> float:
        """Return the seconds of the fastest call."""
        part()
        stack.wait()
        times = []
        collecting = gc.isenabled()
        gc.disable()
        try:
            for _ in range(self.repeats):
                began = time.perf_counter()
                part()
                stack.wait()
                times.append(time.perf_counter() - began)
        finally:
            if collecting:
                gc.enable()
        return min(times)
