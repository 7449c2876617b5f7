"""How the losses and gradients of a stack are computed: all runs in one program, or one run after the other.

Both run the same single-run module, take the same state, and give the same numbers up to rounding.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from normbench.engine.randomness import NoHiddenRandomness
from normbench.engine.state import StackState, Tensors
from normbench.engine.trace import FlatFunction, traced
from normbench.functional import cross_entropy
from normbench.layers import noise
from normbench.optimizers.base import Optimizer


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


class Vectorized(Executor):
    """All runs as one program: the single-run net under `vmap`, autograd outside of it."""

    name = "vectorized"

    def _layouts(self, state: StackState) -> None:
        self._net = Layout(state.params, state.buffers)
        self._all = Layout(state.params, state.buffers, *state.optimizer.values())

    def step(self, state: StackState, batch: Batch, hyper: Tensors) -> tuple[Tensor, Tensor]:
        """Make one update of all runs at once."""
        self._lay_out(state)
        given = Layout({"x": batch.x, "y": batch.y}, batch.noise, hyper)
        data = None if batch.shared else 0

        def step(*tensors: Tensor) -> list[Tensor]:
            params, buffers, *optimizer, images, numbers, hyper = (self._all + given).named(tensors)
            leaves = {name: param.detach().requires_grad_() for name, param in params.items()}
            self.model.train()
            run = vmap(self._forward, in_dims=(0, 0, data, data, data), randomness="different")
            loss, correct = run(leaves, buffers, images["x"], images["y"], numbers)
            # the runs share no tensor that needs a gradient: the sum keeps theirs apart
            grads = torch.autograd.grad(loss.sum(), list(leaves.values()))
            with torch.no_grad():
                states = dict(zip(state.optimizer, optimizer, strict=True))
                self.optimizer.apply(params, dict(zip(params, grads, strict=True)), states, hyper)
            return [loss.detach(), correct.detach()]

        inputs = [*self._all.tensors, *given.tensors]
        loss, correct = self._program(step, inputs, "step", batch.shared, *hyper)(*inputs)
        return loss, correct

    def forward(self, state: StackState, batch: Batch, training: bool) -> tuple[Tensor, Tensor]:
        """Return loss and share of correct answers of all runs at once."""
        self._lay_out(state)
        given = Layout({"x": batch.x, "y": batch.y}, batch.noise)
        data = None if batch.shared else 0

        def forward(*tensors: Tensor) -> list[Tensor]:
            params, buffers, images, numbers = (self._net + given).named(tensors)
            self.model.train(training)
            run = vmap(self._forward, in_dims=(0, 0, data, data, data), randomness="different")
            return list(run(params, buffers, images["x"], images["y"], numbers))

        inputs = [*self._net.tensors, *given.tensors]
        loss, correct = self._program(forward, inputs, "forward", training, batch.shared, batch.x.shape)(
            *inputs
        )
        return loss, correct


class Looped(Executor):
    """One run after the other through its own slice of the state; images in channels_last."""

    name = "looped"

    def _layouts(self, state: StackState) -> None:
        lanes = range(len(state.lanes))
        self._nets = [
            Layout(*(_part(group, lane) for group in (state.params, state.buffers))) for lane in lanes
        ]
        # for the optimisers, which write in place, slices that keep the run axis
        states = list(state.optimizer.values())
        self._alls = [
            self._nets[lane] + Layout(*(_part(g, slice(lane, lane + 1)) for g in (state.params, *states)))
            for lane in lanes
        ]

    def step(self, state: StackState, batch: Batch, hyper: Tensors) -> tuple[Tensor, Tensor]:
        """Make one update, run by run."""
        self._lay_out(state)
        runs = state.train_loss.shape[0]
        some = next(iter(state.params.values()))
        loss, correct = some.new_empty(runs), some.new_empty(runs)
        for lane, layout in enumerate(self._alls):
            one = batch.of(lane)
            images = {"x": channels_last(one.x), "y": one.y}
            given = Layout(images, one.noise, _part(hyper, slice(lane, lane + 1)))

            def step(*tensors: Tensor, groups: Layout = layout + given) -> list[Tensor]:
                net, buffers, params, *optimizer, images, numbers, hyper = groups.named(tensors)
                leaves = {name: param.detach().requires_grad_() for name, param in net.items()}
                self.model.train()
                loss, correct = self._forward(leaves, buffers, images["x"], images["y"], numbers)
                grads = torch.autograd.grad(loss, list(leaves.values()))
                with torch.no_grad():
                    stacked = {name: grad.unsqueeze(0) for name, grad in zip(net, grads, strict=True)}
                    states = dict(zip(state.optimizer, optimizer, strict=True))
                    self.optimizer.apply(params, stacked, states, hyper)
                return [loss.detach(), correct.detach()]

            inputs = [*layout.tensors, *given.tensors]
            loss[lane], correct[lane] = self._program(step, inputs, "step", *hyper)(*inputs)
        if runs > len(state.lanes):  # the idle lane of a stack of one
            loss[1:], correct[1:] = loss[0], correct[0]
        return loss, correct

    def forward(self, state: StackState, batch: Batch, training: bool) -> tuple[Tensor, Tensor]:
        """Return loss and share of correct answers, run by run."""
        self._lay_out(state)
        if batch.shared:
            batch = replace(batch, x=channels_last(batch.x))
        runs = state.train_loss.shape[0]
        some = next(iter(state.params.values()))
        loss, correct = some.new_zeros(runs), some.new_zeros(runs)
        for lane, net in enumerate(self._nets):
            one = batch.of(lane)
            given = Layout({"x": channels_last(one.x), "y": one.y}, one.noise)

            def forward(*tensors: Tensor, groups: Layout = net + given) -> list[Tensor]:
                self.model.train(training)
                params, buffers, images, numbers = groups.named(tensors)
                return list(self._forward(params, buffers, images["x"], images["y"], numbers))

            inputs = [*net.tensors, *given.tensors]
            loss[lane], correct[lane] = self._program(forward, inputs, "forward", training, one.x.shape)(
                *inputs
            )
        return loss, correct


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


def _part(tensors: Mapping[str, Tensor], lanes: slice | int) -> Tensors:
    return {name: tensor[lanes] for name, tensor in tensors.items()}


def channels_last(x: Tensor) -> Tensor:
    """Return images with the channels innermost, the order in which convolutions are fastest on a CPU."""
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


EXECUTORS: dict[str, type[Executor]] = {"vectorized": Vectorized, "looped": Looped}
