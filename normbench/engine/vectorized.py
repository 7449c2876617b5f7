"""Runs all lanes of a stack as one program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.func import vmap

from normbench.engine.batches import Batch
from normbench.engine.executor import Executor
from normbench.engine.state import StackState

# What a core computes while the programs of a stack are recorded, for each layer with weights
# (benchmarks/narrowing.py).
TRACE_FLOPS = 2e9
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

    def trace_flops(self, device: torch.device) -> float:
        """Return FLOPs on a CPU, where a run has the same bits in any number of lanes.

        Other devices may round differently. There, idle lanes are dropped at once, as in all versions.
        """
        return TRACE_FLOPS if device.type == "cpu" else 0.0

    def mapped(self, function: Callable[..., Any], stacked: Sequence[bool]) -> Callable[..., Any]:
        """Map the function by `vmap`."""
        in_dims = tuple(0 if one else None for one in stacked)
        return vmap(function, in_dims=in_dims, randomness="different")

    def batch_of(self, lanes: slice, batch: Batch) -> Batch:
        """Return the batches of these lanes as they are."""
        return batch.lanes(lanes)
