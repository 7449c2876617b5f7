"""How a stack runs the programs of `step.py`: what both executors share.

An executor divides the lanes of a stack into slots, maps a function of one run over the lanes of a slot, and
joins the results. Each program is traced once per shape. The executors agree up to rounding.
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
from normbench.engine.batches import Batch
from normbench.engine.state import StackState, Tensors, part
from normbench.engine.step import Data, Key
from normbench.engine.trace import traced
from normbench.optimizers.base import Optimizer
from normbench.probes import Probe


class Layout:
    """Named groups of tensors together with the flat list that a traced program takes."""

    def __init__(self, *groups: Mapping[str, Tensor]) -> None:
        self.names = [list(group) for group in groups]
        self.tensors = [tensor for group in groups for tensor in group.values()]

    def __add__(self, other: Layout) -> Layout:
        both = Layout()
        both.names, both.tensors = self.names + other.names, self.tensors + other.tensors
        return both

    def named(self, tensors: Sequence[Tensor]) -> list[Tensors]:
        """Return the groups of a flat list that has the order of `tensors`."""
        left = iter(tensors)
        return [{name: next(left) for name in group} for group in self.names]


@dataclass(frozen=True)
class Slot:
    """Lanes that one call of a program computes, with their part of the state.

    Attributes:
        lanes: their places on the run axis.
        own: parameters, buffers and the optimizer's tensors, (lanes, ...) each.
    """

    lanes: slice
    own: Layout


@dataclass(frozen=True)
class Inputs:
    """What a program gets for the lanes of a slot.

    Attributes:
        params: parameters by name, (lanes, ...).
        buffers: buffers by name, (lanes, ...).
        states: the optimizer's tensors by its name for them and by parameter, (lanes, ...).
        data: x, y and noise, with the axis of the lanes unless `shared`.
        hyper: the optimizer's numbers, (lanes,) each.
        shared: whether all lanes see the same batch.
    """

    params: Tensors
    buffers: Tensors
    states: dict[str, Tensors]
    data: Data
    hyper: Tensors
    shared: bool


class Executor(ABC):
    """Base of the executors.

    Args:
        model: the net of one run.
        optimizer: the rule of the update.
        key: identifies the net and all options that a trace depends on.
    """

    name = ""

    def __init__(self, model: nn.Module, optimizer: Optimizer, key: Hashable) -> None:
        self.model, self.optimizer, self.key = model, optimizer, key
        # The tensors for which slots and programs were made. A state has new ones when a run has left.
        self._made_for: tuple[Tensors, Tensors] = {}, {}
        self._slots: list[Slot] = []
        self._programs: dict[Hashable, Callable[..., Mapping[Any, Tensor]]] = {}

    # What an executor decides

    @abstractmethod
    def slices(self, state: StackState) -> list[slice]:
        """Return the lanes of each slot. All slots have the same number of lanes."""

    @abstractmethod
    def untraced_slices(self, state: StackState) -> list[slice]:
        """Return the lanes of each slot for programs that are not traced and may need much memory."""

    @abstractmethod
    def mapped(self, function: Callable[..., Any], stacked: Sequence[bool]) -> Callable[..., Any]:
        """Return a function of stacked runs, made from a function of one run.

        Args:
            function: takes groups of tensors without a run axis.
            stacked: for each group, whether its tensors have a run axis in the new function. A group without
                one is the same for all runs.
        """

    @abstractmethod
    def batch_of(self, lanes: slice, batch: Batch) -> Batch:
        """Return the batch of these lanes, in the memory format that suits the executor."""

    # What a stack asks for

    def step(self, state: StackState, batch: Batch, hyper: Tensors) -> tuple[Tensor, Tensor]:
        """Make one update. Parameters, optimizer state and the layers' buffers change in place.

        Args:
            state: of the stack.
            batch: of this step.
            hyper: the optimizer's numbers for this step, (R,) each.

        Returns:
            The mean loss in nats and the accuracy on the batch before the update, (R,) each.
        """

        def step(runs: Inputs) -> Tensors:
            self.model.train()
            forward = self._forward(runs.shared)
            loss, correct, grads = programs.gradients(forward, runs.params, runs.buffers, runs.data)
            programs.update(self.optimizer, runs.params, grads, runs.states, runs.hyper)
            return {"loss": loss, "correct": correct}

        return _losses(state, list(self._traced(("step",), step, state, batch, hyper)))

    def gradients(self, state: StackState, batch: Batch) -> None:
        """Compute the gradients of all runs and discard them, so that the time can be taken."""

        def gradients(runs: Inputs) -> Tensors:
            self.model.train()
            forward = self._forward(runs.shared)
            _, _, grads = programs.gradients(forward, runs.params, runs.buffers, runs.data)
            return dict(zip(runs.params, grads, strict=True))

        for _ in self._traced(("gradients",), gradients, state, batch):
            pass

    def forward(self, state: StackState, batch: Batch, training: bool) -> tuple[Tensor, Tensor]:
        """Return the mean loss in nats and the accuracy on a batch, (R,) each, without an update.

        With `training` the nets behave as in training, so the layers' buffers change in place.
        """

        def forward(runs: Inputs) -> Tensors:
            self.model.train(training)
            loss, correct = self._forward(runs.shared)(runs.params, runs.buffers, runs.data)
            return {"loss": loss, "correct": correct}

        return _losses(state, list(self._traced(("forward", training), forward, state, batch)))

    def evaluate(self, state: StackState, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sums of loss and of correct answers over the images at inference, (R,) each."""
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
        """Return what the probes measure before the update of `step`. The state does not change.

        Args:
            probes: which measure; the cheap ones share one traced program.
            state: of the stack.
            step: number of updates made so far.
            batches: those that the probes ask for, by step.
            hyper: the optimizer's numbers for this step, (R,) each.

        Returns:
            By layer and quantity one value per lane; an idle lane may be left out.
        """
        cheap = [probe for probe in probes if probe.cheap]
        others = [probe for probe in probes if not probe.cheap]
        values: dict[Key, Tensor] = {}
        if cheap:
            values.update(self._measure_traced(cheap, state, step, batches[step], hyper))
        if others:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # vmap warns of operations that it cannot batch
                values.update(self._measure_untraced(others, state, step, batches, hyper))
        return values

    def saved_bytes(self, state: StackState, batch: Batch) -> int:
        """Return how many bytes the forward pass of one run keeps for its backward pass, weights excluded."""
        params, buffers = part(state.params, 0), part(state.buffers, 0)
        return programs.saved_bytes(self.model, params, buffers, batch.of(0).data)

    # How it is done

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
        def measure(runs: Inputs) -> dict[Key, Tensor]:
            measured = self._measure(probes, step, runs.shared)
            return measured(runs.params, runs.buffers, runs.states, runs.hyper, {step: runs.data})

        what = ("probes", *(probe.model_dump_json() for probe in probes))
        return _joined(list(self._traced(what, measure, state, batch, hyper)))

    def _measure_untraced(
        self,
        probes: Sequence[Probe],
        state: StackState,
        step: int,
        batches: Mapping[int, Batch],
        hyper: Tensors,
    ) -> dict[Key, Tensor]:
        results = []
        for lanes in self.untraced_slices(state):
            own = {at: self.batch_of(lanes, batch) for at, batch in batches.items()}
            results.append(
                self._measure(probes, step, own[step].shared)(
                    part(state.params, lanes),
                    part(state.buffers, lanes),
                    {name: part(tensors, lanes) for name, tensors in state.optimizer.items()},
                    part(hyper, lanes),
                    {at: one.data for at, one in own.items()},
                )
            )
        return _joined(results)

    def _traced(
        self,
        what: tuple[Hashable, ...],
        function: Callable[[Inputs], Mapping[Any, Tensor]],
        state: StackState,
        batch: Batch,
        hyper: Mapping[str, Tensor] | None = None,
    ) -> Iterator[Mapping[Any, Tensor]]:
        """Run a function on every slot, traced, and yield what it returns for each.

        Args:
            what: identifies the function among those of this stack.
            function: returns tensors with the axis of the lanes.
            state: of the stack.
            batch: of all lanes.
            hyper: the optimizer's numbers, (R,) each, if the function needs them.
        """
        hyper = hyper or {}
        slots = self._slots_of(state)
        shared = self.batch_of(slots[0].lanes, batch) if batch.shared else None  # prepared once
        name = (*what, batch.shared, batch.x.shape, *hyper)  # the slots share their programs
        program = self._programs.get(name)
        for slot in slots:
            own, numbers = shared or self.batch_of(slot.lanes, batch), part(hyper, slot.lanes)
            tensors = [*slot.own.tensors, own.x, own.y, *own.noise.values(), *numbers.values()]
            if program is None:
                layout = slot.own + Layout({"x": own.x, "y": own.y}, own.noise, numbers)
                stacked = [True] * len(tensors)
                stacked[len(slot.own.tensors) : len(tensors) - len(numbers)] = [not own.shared] * (
                    2 + len(own.noise)
                )
                flat = _flat(function, layout, list(state.optimizer), own.shared)
                program = self._programs[name] = self._program(name, flat, tensors, stacked)
            yield program(*tensors)

    def _program(
        self,
        name: Hashable,
        function: Callable[..., Mapping[Any, Tensor]],
        tensors: Sequence[Tensor],
        stacked: Sequence[bool],
    ) -> Callable[..., Mapping[Any, Tensor]]:
        """Return the function as a trace, made with these tensors; some are `stacked`, others shared."""
        return traced(self._key(name, tensors), function, tensors)

    def _key(self, name: Hashable, tensors: Sequence[Tensor]) -> Hashable:
        """Return what identifies a program among those of all stacks."""
        shapes = tuple(tensor.shape for tensor in tensors)
        return self.name, self.key, name, shapes, tensors[0].dtype, tensors[0].device

    def _slots_of(self, state: StackState) -> list[Slot]:
        """Return the slots of a state; they and their programs are kept while it has the same tensors."""
        params, buffers = self._made_for
        if params is not state.params or buffers is not state.buffers:
            self._made_for, self._programs = (state.params, state.buffers), {}
            groups = (state.params, state.buffers, *state.optimizer.values())
            self._slots = [
                Slot(lanes, Layout(*(part(group, lanes) for group in groups))) for lanes in self.slices(state)
            ]
        return self._slots


def _flat(
    function: Callable[[Inputs], Mapping[Any, Tensor]], layout: Layout, states: Sequence[str], shared: bool
) -> Callable[..., Mapping[Any, Tensor]]:
    """Return a function of the flat tensors of a layout; `states` names its groups of the optimizer."""

    def flat(*tensors: Tensor) -> Mapping[Any, Tensor]:
        params, buffers, *groups, images, noise, hyper = layout.named(tensors)
        optimizer = dict(zip(states, groups, strict=True))
        return function(Inputs(params, buffers, optimizer, (images["x"], images["y"], noise), hyper, shared))

    return flat


def _losses(state: StackState, results: Sequence[Mapping[str, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return loss and accuracy of all lanes, (R,) each, from those of the slots."""

    def joined(name: str) -> Tensor:
        values = [one[name] for one in results]
        return state.filled(values[0] if len(values) == 1 else torch.cat(values))

    return joined("loss"), joined("correct")


def _joined(results: Sequence[Mapping[Key, Tensor]]) -> dict[Key, Tensor]:
    """Return the values of all slots as copies, because a value may be a view of the state."""
    stacked = torch.cat([torch.stack(list(one.values())) for one in results], 1)
    return dict(zip(results[0], stacked.unbind(0), strict=True))
