"""Measures a stack with probes when they are due, and keeps the values until they are reported."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from normbench.engine.batches import Batch
from normbench.engine.events import Layers
from normbench.engine.executor import Executor
from normbench.engine.state import StackState, Tensors
from normbench.engine.step import Key
from normbench.probes import Probe, StepParts


class Probing:
    """Measures a stack between its updates. It changes neither the state nor the training time.

    Args:
        executor: runs the nets.
        probes: those that can be measured in this net.
        last: number of steps of the training.
        evaluations: the steps at which the stack is evaluated.

    Attributes:
        seconds: time spent on measuring, to be subtracted from the training time.
    """

    def __init__(
        self, executor: Executor, probes: Sequence[Probe], last: int, evaluations: Sequence[int]
    ) -> None:
        self.executor, self.seconds = executor, 0.0
        self._due: dict[int, list[Probe]] = {}
        for probe in probes:
            probe.prepare(executor.model)
            for step in probe.schedule(last, evaluations):
                self._due.setdefault(step, []).append(probe)
        self._measured: list[tuple[int, dict[Key, Tensor | float]]] = []

    def measure(
        self,
        state: StackState,
        step: int,
        batch: Callable[[int], Batch],
        hyper: Callable[[], Tensors],
    ) -> None:
        """Measure what is due before the update of `step`.

        Args:
            state: of the stack.
            step: number of updates made so far.
            batch: returns the batch of a step.
            hyper: returns the optimizer's numbers for this step, (R,) each.
        """
        probes = self._due.get(step)
        if not probes:
            return
        wait(state.train_loss.device)
        began = time.perf_counter()
        of_runs = [probe for probe in probes if not probe.of_stack]
        values: dict[Key, Tensor | float] = {}
        if of_runs:
            wanted = {step} | {at for probe in of_runs for at in probe.looks_at(step)}
            batches = {at: batch(at) for at in sorted(wanted)}
            values.update(self.executor.measure(of_runs, state, step, batches, hyper()))
        for probe in probes:
            if probe.of_stack:
                values.update(probe.measure_stack(self._step_parts(state, batch(step), hyper())))
        self._measured.append((step, values))
        wait(state.train_loss.device)
        self.seconds += time.perf_counter() - began

    def layers(self, runs: Sequence[str], ends: Mapping[int, int]) -> Iterator[Layers]:
        """Yield what was measured since the last call.

        Args:
            runs: the id of the run in each lane.
            ends: for each lane that diverged, the number of the update whose loss was not finite. Later
                measurements are dropped: they say nothing, and their number depends on when the engine
                checked the losses.
        """
        for step, values in self._measured:
            columns = [
                value.tolist() if isinstance(value, Tensor) else [value] * len(runs)
                for value in values.values()
            ]
            for lane, run_id in enumerate(runs):
                if step < ends.get(lane, step + 1):
                    rows = [(*key, column[lane]) for key, column in zip(values, columns, strict=True)]
                    yield Layers(run_id, step, tuple(rows))
        self._measured = []

    def _step_parts(self, state: StackState, batch: Batch, hyper: Tensors) -> StepParts:
        """Return the parts of a training step, to be timed on copies of the state."""

        def copied(tensors: Tensors) -> Tensors:
            return {name: tensor.clone() for name, tensor in tensors.items()}

        optimizer = {name: copied(tensors) for name, tensors in state.optimizer.items()}
        own = replace(state, params=copied(state.params), buffers=copied(state.buffers), optimizer=optimizer)
        executor = self.executor
        return StepParts(
            runs=len(state.lanes),
            forward=lambda: executor.forward(own, batch, training=True),
            backward=lambda: executor.gradients(own, batch),
            step=lambda: executor.step(own, batch, hyper),
            wait=lambda: wait(state.train_loss.device),
            saved_bytes=lambda: executor.saved_bytes(own, batch),
            parameter_bytes=sum(t[0].numel() * t.element_size() for t in own.params.values()),
        )


def wait(device: torch.device) -> None:
    """Wait until a GPU has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
