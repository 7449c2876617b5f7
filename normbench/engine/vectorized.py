"""All runs of a stack as one program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch.func import vmap

from normbench.engine.executor import Batch, Executor
from normbench.engine.state import StackState

LANES = 16  # runs that one untraced measurement takes, at most: a probe may need many copies of them


class Vectorized(Executor):
    """The net of one run under `vmap`; autograd is outside of it."""

    name = "vectorized"

    def cut(self, state: StackState) -> list[slice]:
        """Return one slot with all lanes."""
        return [slice(0, state.width)]

    def cut_untraced(self, state: StackState) -> list[slice]:
        """Return slots of nearly equal size with at most LANES lanes."""
        lanes = state.width
        parts = -(-lanes // LANES)
        return [slice(lanes * index // parts, lanes * (index + 1) // parts) for index in range(parts)]

    def mapped(self, function: Callable[..., Any], stacked: Sequence[bool]) -> Callable[..., Any]:
        """Map by `vmap`."""
        in_dims = tuple(0 if one else None for one in stacked)
        return vmap(function, in_dims=in_dims, randomness="different")

    def seen(self, batch: Batch, lanes: slice) -> Batch:
        """Return the lanes' batches as they are."""
        return batch.lanes(lanes)
