"""How the losses and gradients of a stack are computed: all runs in one program, or one run after the other.

Both run the same single-run module, take the same state, and give the same numbers up to rounding.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from normbench.engine.randomness import NoHiddenRandomness
from normbench.engine.state import StackState, Tensors
from normbench.engine.trace import FlatFunction, traced
from normbench.layers import cross_entropy, noise


@dataclass(frozen=True)
class Batch:
    """The inputs of a step. If `shared`, all runs see x (B, ...), else x (R, B, ...); the rest likewise."""

    x: Tensor
    y: Tensor
    noise: Mapping[str, Tensor]
    shared: bool

    def of(self, lane: int) -> Batch:
        """Return one run's batch."""
        if self.shared:
            return self
        numbers = {place: values[lane] for place, values in self.noise.items()}
        return Batch(self.x[lane], self.y[lane], numbers, True)


@dataclass(frozen=True)
class StepResult:
    """Mean loss and share of correct answers on the batch, (R,), and the gradients, (R, ...)."""

    loss: Tensor
    correct: Tensor
    grads: Tensors


class Executor:
    """Base of the executors; `key` tells apart the nets and options that the traces depend on."""

    name = ""

    def __init__(self, model: nn.Module, key: Hashable) -> None:
        self.model = model
        self.key = key

    def step(self, state: StackState, batch: Batch) -> StepResult:
        """Return losses and gradients; the normalizations' buffers in the state are updated."""
        raise NotImplementedError

    def evaluate(self, state: StackState, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sums over the images of loss and of correct answers, (R,), at inference."""
        raise NotImplementedError

    def _forward(
        self, params: Tensors, buffers: Tensors, x: Tensor, y: Tensor, numbers: Tensors
    ) -> tuple[Tensor, Tensor]:
        """Run the net of one run; under vmap, of all."""
        with noise(numbers), NoHiddenRandomness():
            logits = functional_call(self.model, (params, buffers), (x,))
        correct = (logits.argmax(-1) == y).to(logits.dtype).mean()
        return cross_entropy(logits, y), correct


class _Flat:
    """Packs the tensors of a step into a flat list and back: what a trace takes and returns."""

    def __init__(self, state: StackState, batch: Batch) -> None:
        self.params, self.buffers, self.places = list(state.params), list(state.buffers), list(batch.noise)

    def pack(self, params: Sequence[Tensor], buffers: Sequence[Tensor], batch: Batch) -> list[Tensor]:
        return [*params, *buffers, batch.x, batch.y, *batch.noise.values()]

    def unpack(self, flat: Sequence[Tensor]) -> tuple[Any, ...]:
        n, m = len(self.params), len(self.params) + len(self.buffers)
        params = dict(zip(self.params, flat[:n], strict=True))
        buffers = dict(zip(self.buffers, flat[n:m], strict=True))
        return params, buffers, flat[m], flat[m + 1], dict(zip(self.places, flat[m + 2 :], strict=True))


class Vectorized(Executor):
    """All runs as one program: the single-run net under `vmap`, autograd outside of it."""

    name = "vectorized"

    def step(self, state: StackState, batch: Batch) -> StepResult:
        """Return losses and gradients of all runs at once."""
        flat = _Flat(state, batch)
        inputs = flat.pack(list(state.params.values()), list(state.buffers.values()), batch)
        data = None if batch.shared else 0

        def step(*tensors: Tensor) -> list[Tensor]:
            params, buffers, x, y, numbers = flat.unpack(tensors)
            leaves = {name: param.detach().requires_grad_() for name, param in params.items()}
            self.model.train()
            run = vmap(self._forward, in_dims=(0, 0, data, data, data), randomness="different")
            loss, correct = run(leaves, buffers, x, y, numbers)
            # the runs share no tensor that needs a gradient: the sum keeps theirs apart
            grads = torch.autograd.grad(loss.sum(), list(leaves.values()))
            return [loss.detach(), correct.detach(), *(grad.detach() for grad in grads)]

        loss, correct, *grads = self._traced(step, inputs, "step", batch.shared)(*inputs)
        return StepResult(loss, correct, dict(zip(flat.params, grads, strict=True)))

    def evaluate(self, state: StackState, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sums of loss and correct answers; all runs see the same images."""
        batch = Batch(x, y, {}, True)
        flat = _Flat(state, batch)
        inputs = flat.pack(list(state.params.values()), list(state.buffers.values()), batch)

        def evaluate(*tensors: Tensor) -> list[Tensor]:
            self.model.eval()
            run = vmap(self._forward, in_dims=(0, 0, None, None, None))
            return list(run(*flat.unpack(tensors)))

        loss, correct = self._traced(evaluate, inputs, "evaluate", True)(*inputs)
        dtype = state.train_loss.dtype
        return loss.to(dtype) * len(y), correct.to(dtype) * len(y)

    def _traced(
        self, function: FlatFunction, inputs: Sequence[Tensor], what: str, shared: bool
    ) -> FlatFunction:
        shapes = tuple(tensor.shape for tensor in inputs)
        key = (self.name, self.key, what, shared, shapes, inputs[0].dtype, inputs[0].device)
        return traced(key, function, inputs)


class Looped(Executor):
    """One run after the other through its own slice of the state; images in channels_last."""

    name = "looped"

    def step(self, state: StackState, batch: Batch) -> StepResult:
        """Return losses and gradients, run by run."""
        flat = _Flat(state, batch)
        runs = state.train_loss.shape[0]
        some = next(iter(state.params.values()))
        loss, correct = some.new_empty(runs), some.new_empty(runs)
        grads = {name: torch.empty_like(param) for name, param in state.params.items()}

        def step(*tensors: Tensor) -> list[Tensor]:
            params, buffers, x, y, numbers = flat.unpack(tensors)
            leaves = {name: param.detach().requires_grad_() for name, param in params.items()}
            self.model.train()
            one_loss, one_correct = self._forward(leaves, buffers, x, y, numbers)
            one_grads = torch.autograd.grad(one_loss, list(leaves.values()))
            return [one_loss.detach(), one_correct.detach(), *(grad.detach() for grad in one_grads)]

        for lane in range(len(state.lanes)):
            one = batch.of(lane)
            one = Batch(channels_last(one.x), one.y, one.noise, True)
            inputs = flat.pack(*self._lane(state, lane), one)
            loss[lane], correct[lane], *one_grads = self._traced(step, inputs, "step")(*inputs)
            for stacked, grad in zip(grads.values(), one_grads, strict=True):
                stacked[lane].copy_(grad)
        if runs > len(state.lanes):  # the idle lane of a stack of one
            loss[1:], correct[1:] = loss[0], correct[0]
            for stacked in grads.values():
                stacked[1:] = stacked[0]
        return StepResult(loss, correct, grads)

    def evaluate(self, state: StackState, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sums of loss and correct answers, run by run."""
        batch = Batch(channels_last(x), y, {}, True)
        flat = _Flat(state, batch)

        def evaluate(*tensors: Tensor) -> list[Tensor]:
            self.model.eval()
            return list(self._forward(*flat.unpack(tensors)))

        sums = torch.zeros(2, *state.train_loss.shape, dtype=state.train_loss.dtype, device=x.device)
        for lane in range(len(state.lanes)):
            inputs = flat.pack(*self._lane(state, lane), batch)
            loss, correct = self._traced(evaluate, inputs, "evaluate")(*inputs)
            sums[0, lane], sums[1, lane] = loss, correct
        return sums[0] * len(y), sums[1] * len(y)

    def _lane(self, state: StackState, lane: int) -> tuple[list[Tensor], list[Tensor]]:
        return [p[lane] for p in state.params.values()], [b[lane] for b in state.buffers.values()]

    def _traced(self, function: FlatFunction, inputs: Sequence[Tensor], what: str) -> FlatFunction:
        shapes = tuple(tensor.shape for tensor in inputs)
        key = (self.name, self.key, what, shapes, inputs[0].dtype, inputs[0].device)
        return traced(key, function, inputs)


def channels_last(x: Tensor) -> Tensor:
    """Return images with the channels innermost, the order in which convolutions are fastest on a CPU."""
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


EXECUTORS: dict[str, type[Executor]] = {"vectorized": Vectorized, "looped": Looped}
