"""What a probe is: a pure function of one run's net, batch and coming update, and when it is measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from normbench.probes.view import RunView, net_layers
from normbench.registry import Named

if TYPE_CHECKING:
    from normbench.probes.stopwatch import Stopwatch

Values = dict[tuple[str, str], Tensor]  # (layer, quantity) -> one number
# By executor, how much dearer than a step is what it makes without a trace (benchmarks/probes.py).
UNTRACED = {"vectorized": 3.0, "looped": 1.2}


class Probe(Named):
    """Base of all probes: its pydantic fields are the options, `measure` is the definition.

    A probe measures before the update of its step: step 0 is the initial net, the last step the final one,
    on the batch that would come next. Without a schedule it measures at the evaluations.

    Class attributes:
        cheap: it is run through the trace, together with the other cheap ones; others run as they are.
        of_stack: it measures the work of a stack, by `measure_stack`, not numbers of single runs.
    """

    every: int | None = Field(None, ge=1, description="steps between measurements")
    steps: list[int] | None = Field(None, description="the steps to measure at")
    log: int | None = Field(None, ge=2, le=10_000, description="how many, log-spaced from step 1 on, and 0")

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
        """Return the steps whose batches a measurement at `step` looks at."""
        return [step]

    def refuses(self, net: nn.Module, settings: Any) -> str | None:
        """Return the reason why it cannot be measured in this net with these settings, or None.

        The net may be one without storage: its parts and their names are asked, not its numbers.
        """
        return None

    def cost(self, net: nn.Module) -> float:
        """Return what one measurement takes, in training steps of this net."""
        return 1.0

    def cost_in(self, net: nn.Module, executor: str) -> float:
        """Return the same in runs of this executor (benchmarks/probes.py)."""
        return self.cost(net) * (1.0 if self.cheap or self.of_stack else UNTRACED[executor])

    def prepare(self, net: nn.Module) -> None:
        """Compute once what every measurement of this net needs; no trace is being made yet."""

    def measure(self, run: RunView) -> Values:
        """Return the numbers of one run, each a tensor without dimensions. NaN is a number like others."""
        raise NotImplementedError

    def measure_stack(self, stack: Stopwatch) -> dict[tuple[str, str], float]:
        """Return the numbers that every run of the stack gets."""
        raise NotImplementedError

    def depth(self, net: nn.Module) -> int:
        """Return the number of layers of a net."""
        return len(net_layers(net))
