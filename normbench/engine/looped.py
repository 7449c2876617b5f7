"""The runs of a stack one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from normbench.engine.executor import NAMES, Batch, Executor, Key, Layout, part
from normbench.engine.state import StackState, Tensors
from normbench.probes import Probe


class Looped(Executor):
    """One run after the other through its own slice of the state; images in channels_last."""

    name = "looped"

    def _layouts(self, state: StackState) -> None:
        lanes = range(len(state.lanes))
        self._nets = [
            Layout(*(part(group, lane) for group in (state.params, state.buffers))) for lane in lanes
        ]
        # for the optimisers, which write in place, slices that keep the run axis
        states = list(state.optimizer.values())
        self._alls = [
            self._nets[lane] + Layout(*(part(g, slice(lane, lane + 1)) for g in (state.params, *states)))
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
            given = Layout(images, one.noise, part(hyper, slice(lane, lane + 1)))

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

    def gradients(self, state: StackState, batch: Batch) -> Sequence[Tensor]:
        """Return the gradients of the last run."""
        self._lay_out(state)
        grads: Sequence[Tensor] = []
        for lane, net in enumerate(self._nets):
            one = batch.of(lane)
            given = Layout({"x": channels_last(one.x), "y": one.y}, one.noise)

            def gradients(*tensors: Tensor, groups: Layout = net + given) -> list[Tensor]:
                params, buffers, images, numbers = groups.named(tensors)
                leaves = {name: param.detach().requires_grad_() for name, param in params.items()}
                self.model.train()
                loss, _ = self._forward(leaves, buffers, images["x"], images["y"], numbers)
                return list(torch.autograd.grad(loss, list(leaves.values())))

            inputs = [*net.tensors, *given.tensors]
            grads = self._program(gradients, inputs, "gradients")(*inputs)
        return grads

    def _measure_traced(
        self, probes: Sequence[Probe], state: StackState, step: int, batch: Batch, hyper: Tensors
    ) -> dict[Key, Tensor]:
        self._lay_out(state)
        what = ("probes", *(probe.model_dump_json() for probe in probes), *hyper)
        rows: list[Tensor] = []
        for lane in range(len(state.lanes)):
            one = batch.of(lane)
            net = [part(group, lane) for group in (state.params, state.buffers, *state.optimizer.values())]
            images = {"x": channels_last(one.x), "y": one.y}
            layout = Layout(*net, images, one.noise, part(hyper, lane))

            def measure(*tensors: Tensor, layout: Layout = layout) -> list[Tensor]:
                params, buffers, *optimizer, images, numbers, hyper = layout.named(tensors)
                states = dict(zip(state.optimizer, optimizer, strict=True))
                names: list[Key] = []
                batches = {step: (images["x"], images["y"], numbers)}
                values = self._measure_one(probes, step, names, params, buffers, states, hyper, batches)
                NAMES[self.key, what] = names
                return [values]

            rows += self._program(measure, layout.tensors, *what)(*layout.tensors)
        return dict(zip(NAMES[self.key, what], torch.stack(rows).unbind(1), strict=True))

    def _measure_eagerly(
        self,
        probes: Sequence[Probe],
        state: StackState,
        step: int,
        batches: Mapping[int, Batch],
        hyper: Tensors,
    ) -> dict[Key, Tensor]:
        names: list[Key] = []
        rows = []
        for lane in range(len(state.lanes)):
            params, buffers, own = (part(tensors, lane) for tensors in (state.params, state.buffers, hyper))
            states = {name: part(tensors, lane) for name, tensors in state.optimizer.items()}
            ones = {at: batch.of(lane) for at, batch in batches.items()}
            images = {at: (channels_last(one.x), one.y, dict(one.noise)) for at, one in ones.items()}
            rows.append(self._measure_one(probes, step, names, params, buffers, states, own, images))
        return dict(zip(names, torch.stack(rows).unbind(1), strict=True))

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


def channels_last(x: Tensor) -> Tensor:
    """Return images with the channels innermost, the order in which convolutions are fastest on a CPU."""
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
