"""Runs the lanes of a stack one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from normbench.engine.batches import Batch
from normbench.engine.executor import Executor
from normbench.engine.state import StackState
from normbench.nn.torch_private import tree_map


class Looped(Executor):
    """Runs each lane on its own slice of the state, with images in channels_last."""

    name = "looped"

    def slices(self, state: StackState) -> list[slice]:
        """Return one slot per run; an idle lane has none."""
        return [slice(lane, lane + 1) for lane in range(len(state.lanes))]

    def untraced_slices(self, state: StackState) -> list[slice]:
        """Return one slot per run."""
        return self.slices(state)

    def mapped(self, function: Callable[..., Any], stacked: Sequence[bool]) -> Callable[..., Any]:
        """Remove the run axis of length 1 from the inputs and add it to the results. Both are views."""

        def one(*groups: Any) -> Any:
            own = [
                tree_map(_without_axis, group) if has_axis else group
                for group, has_axis in zip(groups, stacked, strict=True)
            ]
            return tree_map(_with_axis, function(*own))

        return one

    def batch_of(self, lanes: slice, batch: Batch) -> Batch:
        """Return the batch of the run, in the memory format in which a CPU convolves fastest."""
        one = batch.of(lanes.start)
        return replace(one, x=_channels_last(one.x))


def _without_axis(tensor: Tensor) -> Tensor:
    return tensor.squeeze(0)


def _with_axis(tensor: Tensor) -> Tensor:
    return tensor.unsqueeze(0)


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
