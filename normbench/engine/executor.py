"""How the losses and gradients of a stack are computed: what both executors have in common.

They run the same single-run module, take the same state, and give the same numbers up to rounding.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from normbench.engine.randomness import NoHiddenRandomness
from normbench.engine.state import StackState, Tensors
from normbench.engine.trace import FlatFunction, traced
from normbench.nn.functional import cross_entropy
from normbench.nn.layers import noise
from normbench.optimizers.base import Optimizer
from normbench.probes import OneBatch, Probe, RunView

Key = tuple[str, str]  # layer and quantity
NAMES: dict[Hashable, list[Key]] = {}  # what the traced probes return, by the key of their program


@dataclass(frozen=True)
class Batch:
    """The inputs of a step. If `shared`, all runs see x (B, ...), else x (R, B, ...); the rest likewise."""

    x: Tensor
    y: Tensor
    noise: Mapping[str, Tensor]
    shared: bool

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensors]:
        """Return x, y and noise."""
        return self.x, self.y, dict(self.noise)

    def of(self, lane: int) -> Batch:
        """Return one run's batch."""
        if self.shared:
            return self
        numbers = {place: values[lane] for place, values in self.noise.items()}
        return Batch(self.x[lane], self.y[lane], numbers, True)

    def lanes(self, lanes: slice) -> Batch:
        """Return the batches of some runs."""
        if self.shared:
            return self
        return Batch(self.x[lanes], self.y[lanes], part(self.noise, lanes), False)


class Executor:
    """Base of the executors; `key` tells apart the nets and options that the traces depend on."""

    name = ""

    def __init__(self, model: nn.Module, optimizer: Optimizer, key: Hashable) -> None:
        self.model, self.optimizer, self.key = model, optimizer, key
        self._laid: tuple[Tensors, Tensors] = {}, {}
        self._programs: dict[Hashable, FlatFunction] = {}

    def step(self, state: StackState, batch: Batch, hyper: Tensors) -> tuple[Tensor, Tensor]:
        """Make one update; return mean loss and share of correct answers on the batch before it, (R,).

        Parameters, the optimiser's state and the normalizations' buffers are changed in place. `hyper` are
        the optimiser's numbers for this step, each (R,).
        """
        raise NotImplementedError

    def forward(self, state: StackState, batch: Batch, training: bool) -> tuple[Tensor, Tensor]:
        """Return mean loss and share of correct answers, (R,), without an update.

        With `training` the nets behave as in training, so that the normalizations' buffers change in place.
        """
        raise NotImplementedError

    def gradients(self, state: StackState, batch: Batch) -> Sequence[Tensor]:
        """Compute the gradients of all runs as in a step, and leave it at that; to take the time."""
        raise NotImplementedError

    def saved_bytes(self, state: StackState, batch: Batch) -> int:
        """Return the bytes that one run's forward pass keeps for its backward pass, weights left out."""
        params = {name: param[0].clone().requires_grad_() for name, param in state.params.items()}
        buffers = {name: buffer[0].clone() for name, buffer in state.buffers.items()}
        weights = {param.data_ptr() for param in params.values()}
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if tensor.data_ptr() not in weights:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        one = batch.of(0)
        self.model.train()
        hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
        with torch.enable_grad(), hooks:
            numbers = {place: values.clone() for place, values in one.noise.items()}
            loss, _ = self._forward(params, buffers, one.x.clone(), one.y.clone(), numbers)
        del loss
        return sum(kept.values())

    def measure(
        self,
        probes: Sequence[Probe],
        state: StackState,
        step: int,
        batches: Mapping[int, Batch],
        hyper: Tensors,
    ) -> dict[Key, Tensor]:
        """Return what the probes measure before the update of `step`, (R,) each; the state stays as it is.

        `batches` has those that the probes ask for, by step. The cheap probes share one traced program.
        """
        cheap = [probe for probe in probes if probe.cheap]
        values: dict[Key, Tensor] = {}
        if cheap:
            values.update(self._measure_traced(cheap, state, step, batches[step], hyper))
        others = [probe for probe in probes if not probe.cheap]
        if others:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # vmap's, on operations that it does run by run
                values.update(self._measure_eagerly(others, state, step, batches, hyper))
        return values

    def _measure_traced(
        self, probes: Sequence[Probe], state: StackState, step: int, batch: Batch, hyper: Tensors
    ) -> dict[Key, Tensor]:
        raise NotImplementedError

    def _measure_eagerly(
        self,
        probes: Sequence[Probe],
        state: StackState,
        step: int,
        batches: Mapping[int, Batch],
        hyper: Tensors,
    ) -> dict[Key, Tensor]:
        raise NotImplementedError

    def _measure_one(
        self,
        probes: Sequence[Probe],
        step: int,
        names: list[Key],
        params: Tensors,
        buffers: Tensors,
        states: dict[str, Tensors],
        hyper: Tensors,
        batches: Mapping[int, tuple[Tensor, Tensor, Tensors]],
    ) -> Tensor:
        """Return the numbers of one run (under vmap, of all), whose names are put into the list."""
        views = {at: OneBatch(*tensors) for at, tensors in batches.items()}
        run = RunView(self.model, step, params, buffers, views, self.optimizer, states, hyper)
        values: dict[Key, Tensor] = {}
        for probe in probes:
            values.update(probe.measure(run))
        names[:] = values
        return torch.stack([value.to(run.rate.dtype) for value in values.values()])

    def evaluate(self, state: StackState, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sums over the images of loss and of correct answers, (R,), at inference."""
        loss, correct = self.forward(state, Batch(x, y, {}, True), training=False)
        dtype = state.train_loss.dtype
        return loss.to(dtype) * len(y), correct.to(dtype) * len(y)

    def _forward(
        self, params: Tensors, buffers: Tensors, x: Tensor, y: Tensor, numbers: Tensors
    ) -> tuple[Tensor, Tensor]:
        """Run the net of one run; under vmap, of all."""
        with noise(numbers), NoHiddenRandomness():
            logits = functional_call(self.model, (params, buffers), (x,))
        correct = (logits.argmax(-1) == y).to(logits.dtype).mean()
        return cross_entropy(logits, y), correct

    def _lay_out(self, state: StackState) -> None:
        """Prepare what stays the same until a run leaves the stack, for which the state has new tensors."""
        params, buffers = self._laid
        if params is not state.params or buffers is not state.buffers:
            self._laid, self._programs = (state.params, state.buffers), {}
            self._layouts(state)

    def _layouts(self, state: StackState) -> None:
        raise NotImplementedError

    def _program(self, function: FlatFunction, inputs: Sequence[Tensor], *what: Hashable) -> FlatFunction:
        """Return the traced function; `what` tells it from the others of this stack."""
        if what not in self._programs:
            shapes = tuple(tensor.shape for tensor in inputs)
            key = (self.name, self.key, what, shapes, inputs[0].dtype, inputs[0].device)
            self._programs[what] = traced(key, function, inputs)
        return self._programs[what]


class Layout:
    """Groups of named tensors, and the same as one flat list, which is what a trace takes."""

    def __init__(self, *groups: Mapping[str, Tensor]) -> None:
        self.names = [list(group) for group in groups]
        self.tensors = [tensor for group in groups for tensor in group.values()]

    def __add__(self, other: Layout) -> Layout:
        both = Layout()
        both.names, both.tensors = self.names + other.names, self.tensors + other.tensors
        return both

    def named(self, tensors: Sequence[Tensor]) -> list[Tensors]:
        """Return a flat list in this order as the groups."""
        left = iter(tensors)
        return [{name: next(left) for name in group} for group in self.names]


def part(tensors: Mapping[str, Tensor], lanes: slice | int) -> Tensors:
    """Return these runs' part of stacked tensors; of a single one without the run axis."""
    return {name: tensor[lanes] for name, tensor in tensors.items()}
