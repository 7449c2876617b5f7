"""What a probe is: a pure function of one run's net, batch and coming update, with a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from normbench.probes.quantity import Quantity
from normbench.probes.step_parts import StepParts
from normbench.probes.view import RunView, net_layers
from normbench.registry import Named

Values = dict[tuple[str, str], Tensor]  # (layer, quantity) -> one number
# By executor: cost of an untraced measurement relative to a traced step (benchmarks/probes.py).
UNTRACED = {"compiled": 3.0, "vectorized": 3.0, "looped": 1.2, "eager": 1.0}


class Probe(Named):
    """Base of all probes: its pydantic fields are the options, `measure` is the definition.

    A probe measures before the update of its step, on the batch of that step: step 0 is the initial net, the
    last step the final one. Without a schedule it measures at the evaluations.

    Class attributes:
        quantities: the numbers that it can measure.
        cheap: whether it is traced together with the other cheap probes. Other probes run untraced.
        of_stack: whether it measures a whole stack (`measure_stack`) instead of single runs (`measure`).
    """

    every: int | None = Field(None, ge=1, description="steps between measurements")
    steps: list[int] | None = Field(None, description="the steps to measure at")
    log: int | None = Field(
        None, ge=2, le=10_000, description="measure at step 0 and at up to this many log-spaced steps from 1"
    )

    quantities: ClassVar[tuple[Quantity, ...]] = ()
    cheap: ClassVar[bool] = False
    of_stack: ClassVar[bool] = False

    @field_validator("steps")
    @classmethod
    def _counted_from_0(cls, value: list[int] | None) -> list[int] | None:
        if value is not None and (not value or min(value) < 0):
            raise ValueError(f"found {value}; allowed: steps from 0 on, at least one")
        return value

    @model_validator(mode="after")
    def _one_schedule(self) -> Probe:
        given = [name for name in ("every", "steps", "log") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"found {' and '.join(given)}; allowed: one of every, steps, log, or none")
        return self

    def measured(self) -> tuple[Quantity, ...]:
        """Return the quantities that it measures with these options."""
        return self.quantities

    def schedule(self, last: int, evaluations: Sequence[int]) -> list[int]:
        """Return the steps at which a run of `last` steps is measured, ascending."""
        if self.every is not None:
            return list(range(0, last + 1, self.every))
        if self.steps is not None:
            return sorted({step for step in self.steps if step <= last})
        if self.log is not None:
            return sorted({0} | {round(last ** (i / (self.log - 1))) for i in range(self.log)})
        return list(evaluations)

    def looks_at(self, step: int) -> list[int]:
        """Return the steps whose batches a measurement at `step` needs."""
        return [step]

    def refuses(self, net: nn.Module, settings: Any) -> str | None:
        """Return why it cannot be measured in this net with these settings, or None.

        The net may have no storage: only its parts and their names are looked at, not its numbers.
        """
        return None

    def cost(self, net: nn.Module) -> float:
        """Return the cost of one traced measurement, in training steps of this net."""
        return 1.0

    def cost_in(self, net: nn.Module, executor: str) -> float:
        """Return the cost of one measurement in runs of this executor, in training steps of this net."""
        return self.cost(net) * (1.0 if self.cheap or self.of_stack else UNTRACED[executor])

    def prepare(self, net: nn.Module) -> None:
        """Compute once what every measurement of this net needs. It is called before anything is traced."""

    def measure(self, run: RunView) -> Values:
        """Return the numbers of one run, each a tensor without dimensions. NaN is a valid number."""
        raise NotImplementedError

    def measure_stack(self, parts: StepParts) -> dict[tuple[str, str], float]:
        """Return the numbers of a stack. Each of its runs is recorded with them."""
        raise NotImplementedError

    def depth(self, net: nn.Module) -> int:
        """Return the number of layers of a net."""
        return len(net_layers(net))
