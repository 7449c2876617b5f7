"""What a plan takes: FLOPs of a training step, and estimates of time and memory; nothing is trained."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from normbench.config import Settings
from normbench.data import DatasetInfo, dataset_info
from normbench.data.base import DataOptions
from normbench.data.batches import EVAL_ROWS
from normbench.planning.net_cost import NetCost, net_cost
from normbench.planning.plan import Plan
from normbench.planning.refusals import probe_costs
from normbench.planning.runs import Stack
from normbench.planning.stacks import split_stack

# What the estimate of time assumes, for any machine: the rate at which a stack's matrix products run, and the
# time that each layer's operations take to start, however small they are.
ASSUMED_GFLOPS: Mapping[str, float] = {"cpu": 50.0, "cuda": 5000.0, "mps": 500.0}
LAYER_SECONDS = 60e-6  # for each layer with weights, forward, backward and update of one stack
PROCESS_BYTES = 900e6  # the interpreter with torch and what it keeps ready, before any data


@dataclass(frozen=True)
class StackCost:
    """One stack: how many runs, and estimates of its time and of the memory that it takes."""

    stack_id: str
    executor: str
    runs: int
    steps: int
    flops: float
    seconds: float
    memory_bytes: float


@dataclass(frozen=True)
class ProbeCost:
    """What a probe adds. Its steps are training steps of the net that it measures: an estimate.

    measurements: of one run; steps_each: what one takes; share: of the time of all training steps. Where the
    cells differ, the most.
    """

    name: str
    measurements: int
    steps_each: float
    share: float


class Preview:
    """The costs of a plan's cells and stacks."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._costs: dict[tuple[int, int], NetCost] = {}
        self._infos: dict[int, tuple[DataOptions, DatasetInfo]] = {}

    @property
    def gflops(self) -> float:
        """Return the rate that the estimate assumes."""
        return ASSUMED_GFLOPS[self.plan.device]

    def data(self, options: DataOptions) -> DatasetInfo:
        """Return shapes and sizes of a data set."""
        if id(options) not in self._infos:
            self._infos[id(options)] = options, dataset_info(options, self.plan.data_dir)
        return self._infos[id(options)][1]

    def cost(self, settings: Settings) -> NetCost:
        """Return what a net of these settings takes."""
        objects = (id(settings.model), id(settings.data))  # which the cells of a plan share
        if objects not in self._costs:
            info = self.data(settings.data)
            self._costs[objects] = net_cost(settings.model, info.input_shape, info.classes)
        return self._costs[objects]

    def step_flops(self, settings: Settings) -> int:
        """Return the operations of one training step of one run."""
        return settings.data.batch_size * self.cost(settings).train_flops

    @cached_property
    def stacks(self) -> list[StackCost]:
        """Return the estimates of all stacks, in the plan's order."""
        return [self._stack(stack) for stack in self.plan.stacks]

    @cached_property
    def probes(self) -> list[ProbeCost]:
        """Return what each probe adds to the training."""
        found = {probe.name: ProbeCost(probe.name, 0, 0.0, 0.0) for probe in self.plan.experiment.probes}
        for stack in self.plan.stacks:
            for name, (count, each) in self._measurements(stack).items():
                before, share = found[name], count * each / stack.runs[0].settings.train.steps
                found[name] = ProbeCost(
                    name,
                    max(before.measurements, count),
                    max(before.steps_each, each),
                    max(before.share, share),
                )
        return list(found.values())

    def _measurements(self, stack: Stack) -> dict[str, tuple[int, float]]:
        """Return how often each probe measures a run, and how many training steps one measurement takes."""
        if not (probes := self.plan.experiment.probes):
            return {}
        settings = stack.runs[0].settings
        train = settings.train
        evaluations = train.evaluation_steps
        return {
            probe.name: (len(probe.schedule(train.steps, evaluations)), cost)
            for probe, cost in probe_costs(probes, settings, self.plan.data_dir, stack.executor)
        }

    def _stack(self, stack: Stack) -> StackCost:
        settings, count = stack.runs[0].settings, len(stack.runs)
        cost, info, train = self.cost(settings), self.data(settings.data), settings.train
        evaluations = len(train.evaluation_steps)
        between = min(train.eval_size or info.test, info.test) + info.val
        images = (evaluations - 1) * between + info.test + info.val
        steps = train.steps + sum(times * each for times, each in self._measurements(stack).values())
        flops = float(count) * (steps * self.step_flops(settings) + images * cost.forward_flops)
        programs = count if stack.executor == "looped" else 1
        batches = -(-images * max(count, 2) // EVAL_ROWS)
        starts = (steps + batches / 3) * programs * cost.layers * LAYER_SECONDS
        item = train.itemsize
        states = 3 + _optimizer_states(settings)  # weights, their gradients, the update in work
        live = count if stack.executor == "vectorized" else 1  # runs whose activations are there at once
        # a layer's outputs are kept twice forward (norm and activation work on copies) and twice backward
        numbers = count * (states * cost.parameters + 2 * cost.buffers)
        numbers += live * 4 * settings.data.batch_size * cost.activations
        data = (info.train + info.val + info.test) * _size(info.input_shape)
        evaluated = EVAL_ROWS * (_size(info.input_shape) + cost.activations)
        return StackCost(
            stack.stack_id,
            stack.executor,
            count,
            train.steps,
            flops,
            flops / (1e9 * self.gflops) + starts,
            float(item * (numbers + data + evaluated)),
        )

    @property
    def flops(self) -> float:
        """Return the operations of all stacks."""
        return sum(stack.flops for stack in self.stacks)

    @property
    def seconds(self) -> float:
        """Return the estimated time of all stacks, one after the other."""
        return sum(stack.seconds for stack in self.stacks)

    @property
    def memory_bytes(self) -> float:
        """Return the estimated peak: one stack at a time beside the program itself."""
        return PROCESS_BYTES + max((stack.memory_bytes for stack in self.stacks), default=0.0)

    @cached_property
    def room(self) -> float:
        """Return the memory that is free on the plan's device, in bytes; inf where that is not told."""
        return free_memory(self.plan.device)

    def fit(self, stacks: Iterable[Stack], workers: int = 1) -> tuple[list[Stack], list[str]]:
        """Return the stacks with those that would not fit into the free memory divided, and say which.

        By halves, as the launcher divides one whose memory runs out: the records are the same but for the
        column `stack`. So many workers share the memory. A run that does not fit alone is left to fail.
        """
        share = self.room / workers - (PROCESS_BYTES if self.plan.device == "cpu" else 0.0)
        fitting: list[Stack] = []
        divided: Counter[tuple[int, float, int]] = Counter()
        for stack in stacks:
            parts = self._divide(stack, share)
            fitting += parts
            if len(parts) > 1:
                needed = self._stack(stack).memory_bytes
                divided[len(stack.runs), float(f"{needed:.1e}"), len(parts)] += 1
        free = f"{max(share, 0.0) / 1e9:.2g} GB"
        return fitting, [
            f"{count} {'stack' if count == 1 else 'stacks'} of {runs} runs would take about "
            f"{needed / 1e9:.2g} GB of memory, {free} are free: trained in {parts} parts"
            for (runs, needed, parts), count in divided.items()
        ]

    def _divide(self, stack: Stack, share: float) -> list[Stack]:
        if len(stack.runs) == 1 or self._stack(stack).memory_bytes <= share:
            return [stack]
        return [part for half in split_stack(stack) for part in self._divide(half, share)]


def free_memory(device: str) -> float:
    """Return the bytes that a process could take on this device now; inf where the system does not tell."""
    if device == "cuda":
        import torch

        return float(torch.cuda.mem_get_info()[0])
    limits = [math.inf]
    with contextlib.suppress(OSError, ValueError, StopIteration):  # Linux: what can be had without swapping
        lines = Path("/proc/meminfo").read_text().splitlines()
        limits.append(
            1024.0 * int(next(text for text in lines if text.startswith("MemAvailable")).split()[1])
        )
    with contextlib.suppress(OSError, ValueError):  # a container's own limit; "max" where it has none
        limits.append(float(int(Path("/sys/fs/cgroup/memory.max").read_text())))
    return min(limits)


def preview(plan: Plan) -> Preview:
    """Return the costs of a plan, computed where they are asked for."""
    return Preview(plan)


def _optimizer_states(settings: Settings) -> int:
    """Return how many numbers the optimiser keeps for each parameter."""
    import torch

    states = settings.optimizer.state({"w": torch.zeros(1, 1)})
    return len(states)


def _size(shape: tuple[int, ...]) -> int:
    count = 1
    for side in shape:
        count *= side
    return count
