"""What a plan consists of: single runs, and stacks of runs that train together. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from normbench.config import Settings


@dataclass(frozen=True)
class RunSpec:
    """One run.

    Attributes:
        run_id: the hash of its settings and seed.
        seed: where all its random numbers come from.
        settings: all options, resolved.
        values: the value of each swept column.
        refining: whether it is trained only if the search for the edge of the rates asks for it.
        decided: the swept columns that the run's own settings decide, such as the activation of SELU.
        older: the ids that versions up to 0.2 gave to the run, where they are others.
    """

    run_id: str
    seed: int
    settings: Settings
    values: Mapping[str, Any]
    refining: bool = False
    decided: tuple[str, ...] = ()
    older: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """Return all ids under which results may have the run."""
        return (self.run_id, *self.older)


@dataclass(frozen=True)
class Stack:
    """Runs that train together, by one executor."""

    stack_id: str
    runs: tuple[RunSpec, ...]
    executor: str
