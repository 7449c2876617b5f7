"""Runs all lanes of a stack as one program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch.func import vmap

from normbench.engine.batches import Batch
from normbench.engine.executor import Executor
from normbench.engine.state import StackState

LANES = 16  # most lanes of an untraced measurement, because a probe may need many copies of each run


class Vectorized(Executor):
    """Maps the net of one run by `vmap`; autograd runs outside of it."""

    name = "vectorized"

    def slices(self, state: StackState) -> list[slice]:
        """Return one slot with all lanes."""
        return [slice(0, state.width)]

    def untraced_slices(self, state: StackState) -> list[slice]:
        """Return slots of nearly equal size with at most LANES lanes."""
        lanes = state.width
        parts = -(-lanes // LANES)
        return [slice(lanes * index // parts, lanes * (index + 1) // parts) for index in range(parts)]

    def mapped(self, function: Callable[..., Any], stacked: Sequence[bool]) -> Callable[..., Any]:
        """Map the function by `vmap`."""
        in_dims = tuple(0 if one else None for one in stacked)
        return vmap(function, in_dims=in_dims, randomness="different")

    def batch_of(self, lanes: slice, batch: Batch) -> Batch:
        """Return the batches of these lanes as they are."""
        return batch.lanes(lanes)
