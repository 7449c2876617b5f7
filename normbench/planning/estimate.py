"""Estimates of what a plan costs: FLOPs of a training step, time and memory. Nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from normbench.config import Settings
from normbench.data.base import DataOptions
from normbench.data.batches import EVAL_ROWS
from normbench.memo import Memo
from normbench.models import Model
from normbench.names import WHOLE_STACK
from normbench.planning.memory import PROCESS_BYTES, stack_bytes
from normbench.planning.net_cost import NetCost, net_cost
from normbench.planning.plan import Plan
from normbench.planning.refusals import probe_costs
from normbench.planning.runs import Stack
from normbench.planning.shapes import data_shape

# What the estimate of time assumes for every machine: how fast a stack's matrix products run, and what costs
# the same however small the net is. Measured on one core of a server: 4 runs of an MLP of width 9, depth 1 to
# 10, without and with batch normalization, SGD and Adam: 0.46 to 2.9 ms for a step.
ASSUMED_GFLOPS: Mapping[str, float] = {"cpu": 50.0, "cuda": 5000.0, "mps": 500.0}
LAYER_SECONDS = 180e-6  # for each layer with weights: forward, backward and update of one stack
STEP_SECONDS = 250e-6  # for each step of a stack: its batch, its loss, its record
EVALUATION_SECONDS = 2e-3  # for each evaluation of a stack
TRACE_SECONDS = 0.1  # for each layer with weights: its programs are recorded once for each kind of stack
COMPILE_SECONDS = 20.0  # for each kind of compiled stack, if the cache does not have its code
START_SECONDS = 3.0  # for the program: torch is loaded and used for the first time


@dataclass(frozen=True)
class StackCost:
    """Estimates for one stack: time in seconds, and memory without the program's own."""

    stack_id: str
    executor: str
    runs: int
    steps: int
    flops: float
    seconds: float
    memory_bytes: float


@dataclass(frozen=True)
class ProbeCost:
    """What a probe adds to the training of a run. Where cells differ, the largest value counts.

    Attributes:
        name: of the probe.
        measurements: in one run.
        steps_each: cost of one measurement, in training steps of the measured net.
        share: of all measurements in the time of all training steps.
        quantities: that it measures, as layers.csv names them (`@c`: one for each of several numbers c).
    """

    name: str
    measurements: int
    steps_each: float
    share: float
    quantities: tuple[str, ...]


class Estimate:
    """What the cells and stacks of a plan cost; each number is computed when it is asked for."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._cost = Memo(self._net_cost)

    def _net_cost(self, model: Model, data: DataOptions) -> NetCost:
        info = data_shape(data, self.plan.data_dir)
        return net_cost(model, info.input_shape, info.classes)

    @property
    def gflops(self) -> float:
        """Return the speed of matrix products that the estimate assumes, in GFLOP/s."""
        return ASSUMED_GFLOPS[self.plan.device]

    def cost(self, settings: Settings) -> NetCost:
        """Return what a net with these settings costs."""
        return self._cost(settings.model, settings.data)

    def step_flops(self, settings: Settings) -> int:
        """Return the FLOPs of one training step of one run."""
        return settings.data.batch_size * self.cost(settings).train_flops

    @cached_property
    def stacks(self) -> list[StackCost]:
        """Return the estimates of all stacks, in the plan's order."""
        seen: set[tuple[object, ...]] = set()
        found = []
        for stack in self.plan.stacks:
            settings = stack.runs[0].settings
            kind = (settings.model, settings.optimizer.name, stack.executor, len(stack.runs))
            found.append(self._stack(stack, recorded=kind in seen))
            seen.add(kind)
        return found

    @cached_property
    def probes(self) -> list[ProbeCost]:
        """Return what each probe adds to the training."""
        found = {
            probe.name: ProbeCost(probe.name, 0, 0.0, 0.0, tuple(one.listed for one in probe.measured()))
            for probe in self.plan.experiment.probes
        }
        for stack in self.plan.stacks:
            for name, (count, each) in self._measurements(stack).items():
                before, share = found[name], count * each / stack.runs[0].settings.train.steps
                found[name] = ProbeCost(
                    name,
                    max(before.measurements, count),
                    max(before.steps_each, each),
                    max(before.share, share),
                    before.quantities,
                )
        return list(found.values())

    def _measurements(self, stack: Stack) -> dict[str, tuple[int, float]]:
        """Return how often each probe measures a run, and the cost of one measurement in training steps."""
        if not (probes := self.plan.experiment.probes):
            return {}
        settings = stack.runs[0].settings
        train = settings.train
        evaluations = train.evaluation_steps
        return {
            probe.name: (len(probe.schedule(train.steps, evaluations)), cost)
            for probe, cost in probe_costs(probes, settings, self.plan.data_dir, stack.executor)
        }

    def _stack(self, stack: Stack, recorded: bool) -> StackCost:
        """Return the costs of a stack; `recorded` says whether one of its kind was trained before."""
        settings, count = stack.runs[0].settings, len(stack.runs)
        cost, train = self.cost(settings), settings.train
        info = data_shape(settings.data, self.plan.data_dir)
        evaluations = len(train.evaluation_steps)
        each_evaluation = min(train.eval_size or info.test, info.test) + info.val
        images = (evaluations - 1) * each_evaluation + info.test + info.val + min(info.test, info.train)
        steps = train.steps + sum(times * each for times, each in self._measurements(stack).values())
        flops = float(count) * (steps * self.step_flops(settings) + images * cost.forward_flops)
        programs = 1 if stack.executor in WHOLE_STACK else count
        batches = -(-images * max(count, 2) // (train.eval_batch_size or EVAL_ROWS))
        starts = (steps + batches / 3) * programs * cost.layers * LAYER_SECONDS
        starts += steps * programs * STEP_SECONDS + evaluations * EVALUATION_SECONDS
        starts += 0.0 if recorded else cost.layers * TRACE_SECONDS
        starts += COMPILE_SECONDS if stack.executor == "compiled" and not recorded else 0.0
        return StackCost(
            stack.stack_id,
            stack.executor,
            count,
            train.steps,
            flops,
            flops / (1e9 * self.gflops) + starts,
            stack_bytes(stack, self.plan.data_dir),
        )

    def longest_first(self, stacks: Sequence[Stack]) -> list[Stack]:
        """Return stacks of the plan in the order in which workers that take one at a time end soonest."""
        return sorted(stacks, key=lambda stack: -self._stack(stack, recorded=True).seconds)

    @property
    def flops(self) -> float:
        """Return the FLOPs of all stacks."""
        return sum(stack.flops for stack in self.stacks)

    @property
    def seconds(self) -> float:
        """Return the estimated time of all stacks, one after the other, and of the program's start."""
        return START_SECONDS + sum(stack.seconds for stack in self.stacks)

    @property
    def memory_bytes(self) -> float:
        """Return the estimated peak: the largest stack together with the program itself."""
        return PROCESS_BYTES + max((stack.memory_bytes for stack in self.stacks), default=0.0)


def estimate(plan: Plan) -> Estimate:
    """Return the costs of a plan."""
    return Estimate(plan)
