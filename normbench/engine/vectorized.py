"""All runs of a stack as one program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.func import vmap

from normbench.engine.executor import NAMES, Batch, Executor, Key, Layout, part
from normbench.engine.state import StackState, Tensors
from normbench.probes import Probe

LANES = 16  # runs that a probe which is not cheap looks at together, at most: it may need many copies of them


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

    def gradients(self, state: StackState, batch: Batch) -> Sequence[Tensor]:
        """Return the gradients of all runs."""
        self._lay_out(state)
        given = Layout({"x": batch.x, "y": batch.y}, batch.noise)
        data = None if batch.shared else 0

        def gradients(*tensors: Tensor) -> list[Tensor]:
            params, buffers, images, numbers = (self._net + given).named(tensors)
            leaves = {name: param.detach().requires_grad_() for name, param in params.items()}
            self.model.train()
            run = vmap(self._forward, in_dims=(0, 0, data, data, data), randomness="different")
            loss, _ = run(leaves, buffers, images["x"], images["y"], numbers)
            return list(torch.autograd.grad(loss.sum(), list(leaves.values())))

        inputs = [*self._net.tensors, *given.tensors]
        return self._program(gradients, inputs, "gradients", batch.shared)(*inputs)

    def _measure_traced(
        self, probes: Sequence[Probe], state: StackState, step: int, batch: Batch, hyper: Tensors
    ) -> dict[Key, Tensor]:
        self._lay_out(state)
        given = Layout({"x": batch.x, "y": batch.y}, batch.noise, hyper)
        data = None if batch.shared else 0
        what = ("probes", *(probe.model_dump_json() for probe in probes), batch.shared, *hyper)

        def measure(*tensors: Tensor) -> list[Tensor]:
            params, buffers, *optimizer, images, numbers, hyper = (self._all + given).named(tensors)
            states = dict(zip(state.optimizer, optimizer, strict=True))
            names: list[Key] = []
            one = partial(self._measure_one, probes, step, names)
            run = vmap(one, in_dims=(0, 0, 0, 0, data), randomness="different")
            values = run(params, buffers, states, hyper, {step: (images["x"], images["y"], numbers)})
            NAMES[self.key, what] = names
            return [values]

        inputs = [*self._all.tensors, *given.tensors]
        (values,) = self._program(measure, inputs, *what)(*inputs)
        return dict(zip(NAMES[self.key, what], values.unbind(1), strict=True))

    def _measure_eagerly(
        self,
        probes: Sequence[Probe],
        state: StackState,
        step: int,
        batches: Mapping[int, Batch],
        hyper: Tensors,
    ) -> dict[Key, Tensor]:
        data = None if batches[step].shared else 0
        runs = state.train_loss.shape[0]
        parts = -(-runs // LANES)
        names: list[Key] = []
        run = vmap(
            partial(self._measure_one, probes, step, names),
            in_dims=(0, 0, 0, 0, data),
            randomness="different",
        )
        values = []
        for index in range(parts):  # of nearly equal size
            lanes = slice(runs * index // parts, runs * (index + 1) // parts)
            net = [part(group, lanes) for group in (state.params, state.buffers)]
            states = {name: part(tensors, lanes) for name, tensors in state.optimizer.items()}
            images = {at: batch.lanes(lanes).tensors for at, batch in batches.items()}
            values.append(run(*net, states, part(hyper, lanes), images))
        return dict(zip(names, torch.cat(values).unbind(1), strict=True))

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
