"""The runs of a stack one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from normbench.engine.executor import Batch, Executor
from normbench.engine.state import StackState
from normbench.nn.torch_private import tree_map


class Looped(Executor):
    """One run after the other through its own slice of the state; images in channels_last."""

    name = "looped"

    def cut(self, state: StackState) -> list[slice]:
        """Return a slot for each run."""
        return [slice(lane, lane + 1) for lane in range(len(state.lanes))]

    def cut_untraced(self, state: StackState) -> list[slice]:
        """Return the same slots."""
        return self.cut(state)

    def mapped(self, function: Callable[..., Any], stacked: Sequence[bool]) -> Callable[..., Any]:
        """Take the run axis of one run off the inputs, and put it on the results. Both are views."""

        def one(*groups: Any) -> Any:
            own = [
                tree_map(_off, group) if has else group for group, has in zip(groups, stacked, strict=True)
            ]
            return tree_map(_on, function(*own))

        return one

    def seen(self, batch: Batch, lanes: slice) -> Batch:
        """Return the run's own batch, with the channels innermost: convolutions on a CPU are fastest so."""
        one = batch.of(lanes.start)
        return replace(one, x=channels_last(one.x))


def _off(tensor: Tensor) -> Tensor:
    return tensor.squeeze(0)


def _on(tensor: Tensor) -> Tensor:
    return tensor.unsqueeze(0)


def channels_last(x: Tensor) -> Tensor:
    """Return images with the channels innermost."""
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
