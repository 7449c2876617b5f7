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
from normbench.probes.quantity import Quantity
from normbench.probes.step_parts import StepParts


class Cost(Probe):
    """Seconds of forward pass, backward pass and update for each run and step, and bytes.

    The stack's own step runs on a copy of its state: one warm-up, then the fastest of `repeats`, divided by
    the number of runs. Each seed gets its own stack, so that seeds are independent measurements.
    Backward pass and update are differences. The update is below 0 where it is merged into the backward pass.
    Times depend on the machine and vary from one execution to the next.
    """

    name: Literal["cost"] = "cost"
    repeats: int = Field(5, ge=1, le=1000, description="number of timings; the fastest counts")

    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("cost.forward_seconds", "forward pass", "the forward pass", "s", of="net"),
        Quantity(
            "cost.backward_seconds",
            "backward pass",
            "forward pass and gradients, minus the forward pass",
            "s",
            of="net",
        ),
        Quantity(
            "cost.update_seconds",
            "update",
            "the whole step, minus forward pass and gradients",
            "s",
            of="net",
        ),
        Quantity("cost.step_seconds", "training step", "the whole step, timed as one", "s", of="net"),
        Quantity(
            "cost.saved_bytes",
            "kept for the backward pass",
            "what the forward pass keeps for the backward pass, without the weights",
            "bytes",
            of="net",
        ),
        Quantity("cost.parameter_bytes", "parameters", "all parameters", "bytes", of="net"),
    )
    of_stack: ClassVar[bool] = True

    def cost(self, net: nn.Module) -> float:
        """Return the cost of the three parts, `repeats` times and once to warm up, and of counting bytes."""
        return 2.0 * (self.repeats + 1) + 1

    def measure_stack(self, parts: StepParts) -> dict[tuple[str, str], float]:
        """Return the numbers of one run of the stack."""
        forward, backward, step = (
            self.fastest(part, parts.wait) / parts.runs
            for part in (parts.forward, parts.backward, parts.step)
        )
        found = {
            "forward_seconds": forward,
            "backward_seconds": backward - forward,
            "update_seconds": step - backward,
            "step_seconds": step,
            "saved_bytes": float(parts.saved_bytes()),
            "parameter_bytes": float(parts.parameter_bytes),
        }
        return {(NET, f"cost.{name}"): value for name, value in found.items()}

    def fastest(self, part: Callable[[], object], wait: Callable[[], None]) -> float:
        """Return the seconds of the fastest call, each up to the end of the device's work."""
        part()
        wait()
        times = []
        collecting = gc.isenabled()
        gc.disable()
        try:
            for _ in range(self.repeats):
                began = time.perf_counter()
                part()
                wait()
                times.append(time.perf_counter() - began)
        finally:
            if collecting:
                gc.enable()
        return min(times)
