"""What a plan consists of: single runs, and stacks of runs that train together. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from normbench.config import Settings


@dataclass(frozen=True)
class RunSpec:
    """One run: its settings, its seed, and the id that hashes both."""

    run_id: str
    seed: int
    settings: Settings
    values: Mapping[str, Any]
    refining: bool = False  # trained only if the search for the edge of the learning rates asks for it


@dataclass(frozen=True)
class Stack:
    """Runs that train together, by one executor."""

    stack_id: str
    runs: tuple[RunSpec, ...]
    executor: str
