"""Runs the lanes of a stack one after the other in plain torch, without a trace."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from normbench.engine import step as programs
from normbench.engine.batches import Batch
from normbench.engine.looped import Looped
from normbench.nn.holding import restoring


class Eager(Looped):
    """Runs a net as a plain torch loop does: for layers that read values in Python or call other libraries.

    It is slower than the traced executors. `normbench.fidelity` chooses it for a plug-in that they cannot
    train.
    """

    name = "eager"

    def _program(
        self,
        name: Hashable,
        function: Callable[..., Mapping[Any, Tensor]],
        tensors: Sequence[Tensor],
        stacked: Sequence[bool],
    ) -> Callable[..., Mapping[Any, Tensor]]:
        """Return the function without a trace. A forward pass alone needs no gradients, as in plain torch."""
        measures = isinstance(name, tuple) and name[0] == "forward"

        def program(*tensors: Tensor) -> Mapping[Any, Tensor]:
            with torch.set_grad_enabled(not measures), restoring(self.model):
                return {key: value.detach() for key, value in function(*tensors).items()}

        return program

    def batch_of(self, lanes: slice, batch: Batch) -> Batch:
        """Return the batch of the run in torch's usual memory format, which some layers rely on."""
        return batch.of(lanes.start)

    def _forward(self, shared: bool) -> Callable[..., Any]:
        """Return the forward pass, which leaves the run's tensors in the net.

        A backward pass that runs parts of the net again (torch.utils.checkpoint) then finds them there.
        """
        return self.mapped(partial(programs.forward, self.model, stay=True), (True, True, not shared))
