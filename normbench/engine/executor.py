"""How a stack runs the programs of `step.py`: what the executors have in common.

An executor cuts a stack into slots, maps a function of one run over the runs of a slot, and joins the
results. Each program is traced once for each shape. The executors give the same numbers up to rounding.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from normbench.engine import step as programs
from normbench.engine.state import StackState, Tensors
from normbench.engine.step import Data, Key
from normbench.engine.trace import Program, traced
from normbench.optimizers.base import Optimizer
from normbench.probes import Probe


@dataclass(frozen=True)
class Batch:
    """The inputs of a step. If `shared`, all runs see x (B, ...), otherwise x is (R, B, ...).

    y and the noise likewise.
    """

    x: Tensor
    y: Tensor
    noise: Mapping[str, Tensor]
    shared: bool

    @property
    def data(self) -> Data:
        """Return x, y and noise."""
        return self.x, self.y, dict(self.noise)

    def of(self, lane: int) -> Batch:
        """Return one run's batch, without a run axis."""
        if self.shared:
            return self
        return Batch(self.x[lane], self.y[lane], part(self.noise, lane), True)

    def lanes(self, lanes: slice) -> Batch:
        """Return the batches of some runs."""
        if self.shared:
            return self
        return Batch(self.x[lanes], self.y[lanes], part(self.noise, lanes), False)


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


@dataclass(frozen=True)
class Slot:
    """Lanes of a stack that one call of a program computes, with their part of the state, (R, ...) each."""

    lanes: slice
    net: Layout  # parameters and buffers
    whole: Layout  # these, and the optimizer's tensors


class Executor(ABC):
    """Base of the executors.

    Args:
        model: the net of one run.
        optimizer: the rule of the update.
        key: tells apart the nets and options that the traces depend on.
    """

    name = ""

    def __init__(self, model: nn.Module, optimizer: Optimizer, key: Hashable) -> None:
        self.model, self.optimizer, self.key = model, optimizer, key
        self._of: tuple[Tensors, Tensors] = {}, {}  # the tensors that slots and programs were made for
        self._slots: list[Slot] = []
        self._programs: dict[Hashable, Program] = {}

    # What an executor decides ------------------------------------------------------------------------------

    @abstractmethod
    def cut(self, state: StackState) -> list[slice]:
        """Return the lanes of each slot."""

    @abstractmethod
    def cut_untraced(self, state: StackState) -> list[slice]:
        """Return the same for programs that are not traced and may need much memory."""

    @abstractmethod
    def mapped(self, function: Callable[..., Any], stacked: Sequence[bool]) -> Callable[..., Any]:
        """Return a function of stacked runs from one of a single run.

        Args:
            function: takes groups of tensors without a run axis.
            stacked: for each group whether its tensors get a run axis; one without is the same for all runs.
        """

    @abstractmethod
    def seen(self, batch: Batch, lanes: slice) -> Batch:
        """Return what these lanes see of a batch, in the memory format that suits the executor."""

    # What a stack is asked for -----------------------------------------------------------------------------

    def step(self, state: StackState, batch: Batch, hyper: Tensors) -> tuple[Tensor, Tensor]:
        """Make one update; parameters, the optimizer's state and the layers' buffers change in place.

        Args:
            state: of the stack.
            batch: of this step.
            hyper: the optimizer's numbers for this step, each (R,).

        Returns:
            Mean loss and share of correct answers on the batch before the update, (R,).
        """

        def step(slot: Slot, shared: bool, given: Layout, *tensors: Tensor) -> list[Tensor]:
            params, buffers, *states, images, numbers, own = (slot.whole + given).named(tensors)
            self.model.train()
            data = images["x"], images["y"], numbers
            loss, correct, grads = programs.gradients(self._forward(shared), params, buffers, data)
            programs.update(
                self.optimizer, params, grads, dict(zip(state.optimizer, states, strict=True)), own
            )
            return [loss, correct]

        results = []
        for slot, seen in self._each(state, batch):
            given = Layout({"x": seen.x, "y": seen.y}, seen.noise, part(hyper, slot.lanes))
            run = partial(step, slot, seen.shared, given)
            inputs = [*slot.whole.tensors, *given.tensors]
            results.append(self._program(run, inputs, "step", seen.shared, *hyper)(*inputs))
        return self._join(state, results)

    def gradients(self, state: StackState, batch: Batch) -> Sequence[Tensor]:
        """Return the gradients of the runs in the last slot; those of all are computed, to take the time."""

        def gradients(slot: Slot, shared: bool, given: Layout, *tensors: Tensor) -> list[Tensor]:
            params, buffers, images, numbers = (slot.net + given).named(tensors)
            self.model.train()
            data = images["x"], images["y"], numbers
            return programs.gradients(self._forward(shared), params, buffers, data)[2]

        grads: Sequence[Tensor] = []
        for slot, seen in self._each(state, batch):
            given = Layout({"x": seen.x, "y": seen.y}, seen.noise)
            inputs = [*slot.net.tensors, *given.tensors]
            run = partial(gradients, slot, seen.shared, given)
            grads = self._program(run, inputs, "gradients", seen.shared)(*inputs)
        return grads

    def forward(self, state: StackState, batch: Batch, training: bool) -> tuple[Tensor, Tensor]:
        """Return mean loss and share of correct answers, (R,), without an update.

        With `training` the nets behave as in training, so that the layers' buffers change in place.
        """

        def forward(slot: Slot, shared: bool, given: Layout, *tensors: Tensor) -> list[Tensor]:
            params, buffers, images, numbers = (slot.net + given).named(tensors)
            self.model.train(training)
            return list(self._forward(shared)(params, buffers, (images["x"], images["y"], numbers)))

        results = []
        for slot, seen in self._each(state, batch):
            given = Layout({"x": seen.x, "y": seen.y}, seen.noise)
            inputs = [*slot.net.tensors, *given.tensors]
            run = partial(forward, slot, seen.shared, given)
            what = ("forward", training, seen.shared, seen.x.shape)
            results.append(self._program(run, inputs, *what)(*inputs))
        return self._join(state, results)

    def evaluate(self, state: StackState, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sums over the images of loss and of correct answers, (R,), at inference."""
        loss, correct = self.forward(state, Batch(x, y, {}, True), training=False)
        dtype = state.train_loss.dtype
        return loss.to(dtype) * len(y), correct.to(dtype) * len(y)

    def measure(
        self,
        probes: Sequence[Probe],
        state: StackState,
        step: int,
        batches: Mapping[int, Batch],
        hyper: Tensors,
    ) -> dict[Key, Tensor]:
        """Return what the probes measure before the update of `step`; the state stays as it is.

        Args:
            probes: which measure; the cheap ones share one traced program.
            state: of the stack.
            step: the number of updates made so far.
            batches: those that the probes ask for, by step.
            hyper: the optimizer's numbers for this step, each (R,).

        Returns:
            By layer and quantity a number for each run, (R,).
        """
        cheap = [probe for probe in probes if probe.cheap]
        others = [probe for probe in probes if not probe.cheap]
        values: dict[Key, Tensor] = {}
        if cheap:
            values.update(self._measure_traced(cheap, state, step, batches[step], hyper))
        if others:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # vmap's, on operations that it runs one run after the other
                values.update(self._measure_untraced(others, state, step, batches, hyper))
        return values

    def saved_bytes(self, state: StackState, batch: Batch) -> int:
        """Return the bytes that one run's forward pass keeps for its backward pass, weights left out."""
        params, buffers = part(state.params, 0), part(state.buffers, 0)
        return programs.saved_bytes(self.model, params, buffers, batch.of(0).data)

    # How --------------------------------------------------------------------------------------------------

    def _forward(self, shared: bool) -> Callable[..., Any]:
        """Return the forward pass of stacked runs."""
        return self.mapped(partial(programs.forward, self.model), (True, True, not shared))

    def _measure(self, probes: Sequence[Probe], step: int, shared: bool) -> Callable[..., dict[Key, Tensor]]:
        """Return the measurement of stacked runs."""
        one = partial(programs.measure, self.model, self.optimizer, probes, step)
        return self.mapped(one, (True, True, True, True, not shared))

    def _measure_traced(
        self, probes: Sequence[Probe], state: StackState, step: int, batch: Batch, hyper: Tensors
    ) -> dict[Key, Tensor]:
        def measure(slot: Slot, shared: bool, given: Layout, *tensors: Tensor) -> dict[Key, Tensor]:
            params, buffers, *states, images, numbers, own = (slot.whole + given).named(tensors)
            data = {step: (images["x"], images["y"], numbers)}
            own_states = dict(zip(state.optimizer, states, strict=True))
            return self._measure(probes, step, shared)(params, buffers, own_states, own, data)

        what = ("probes", *(probe.model_dump_json() for probe in probes))
        results = []
        for slot, seen in self._each(state, batch):
            given = Layout({"x": seen.x, "y": seen.y}, seen.noise, part(hyper, slot.lanes))
            inputs = [*slot.whole.tensors, *given.tensors]
            run = partial(measure, slot, seen.shared, given)
            program = self._program(run, inputs, *what, seen.shared, *hyper)
            results.append(dict(zip(program.keys, program(*inputs), strict=True)))
        return _joined(results)

    def _measure_untraced(
        self,
        probes: Sequence[Probe],
        state: StackState,
        step: int,
        batches: Mapping[int, Batch],
        hyper: Tensors,
    ) -> dict[Key, Tensor]:
        results = []
        for lanes in self.cut_untraced(state):
            seen = {at: self.seen(batch, lanes) for at, batch in batches.items()}
            states = {name: part(tensors, lanes) for name, tensors in state.optimizer.items()}
            results.append(
                self._measure(probes, step, seen[step].shared)(
                    part(state.params, lanes),
                    part(state.buffers, lanes),
                    states,
                    part(hyper, lanes),
                    {at: one.data for at, one in seen.items()},
                )
            )
        return _joined(results)

    def _cut(self, state: StackState) -> list[Slot]:
        """Return the slots. They stay until a run leaves the stack, for which the state has new tensors."""
        params, buffers = self._of
        if params is not state.params or buffers is not state.buffers:
            self._of, self._programs = (state.params, state.buffers), {}
            self._slots = [self._slot(state, lanes) for lanes in self.cut(state)]
        return self._slots

    def _each(self, state: StackState, batch: Batch) -> Iterator[tuple[Slot, Batch]]:
        """Yield each slot with what it sees of the batch; a shared batch is prepared once."""
        slots = self._cut(state)
        shared = self.seen(batch, slots[0].lanes) if batch.shared else None
        for slot in slots:
            yield slot, shared or self.seen(batch, slot.lanes)

    def _slot(self, state: StackState, lanes: slice) -> Slot:
        net = Layout(part(state.params, lanes), part(state.buffers, lanes))
        return Slot(lanes, net, net + Layout(*(part(group, lanes) for group in state.optimizer.values())))

    def _program(self, function: Callable[..., Any], inputs: Sequence[Tensor], *what: Hashable) -> Program:
        """Return the traced function; `what` tells it from the others of this stack."""
        if what not in self._programs:
            shapes = tuple(tensor.shape for tensor in inputs)
            key = (self.name, self.key, what, shapes, inputs[0].dtype, inputs[0].device)
            self._programs[what] = traced(key, function, inputs)
        return self._programs[what]

    def _join(self, state: StackState, results: Sequence[Sequence[Tensor]]) -> tuple[Tensor, Tensor]:
        """Return loss and share of correct answers of all lanes from those of the slots."""
        loss, correct = results[0] if len(results) == 1 else map(torch.cat, zip(*results, strict=True))
        return state.filled(loss), state.filled(correct)


def _joined(results: Sequence[Mapping[Key, Tensor]]) -> dict[Key, Tensor]:
    """Return the values of all slots, (R,) each, as copies: a value may be a view of the state."""
    stacked = torch.cat([torch.stack(list(one.values())) for one in results], 1)
    return dict(zip(results[0], stacked.unbind(0), strict=True))


def part(tensors: Mapping[str, Tensor], lanes: slice | int) -> Tensors:
    """Return these lanes' part of stacked tensors; for a single number, without the run axis."""
    return {name: tensor[lanes] for name, tensor in tensors.items()}
