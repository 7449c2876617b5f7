"""Measures what it saves that runs which diverge leave their stack, and what a narrower stack costs.

    python benchmarks/narrowing.py            # both tables, about 10 minutes on a quiet core
    python benchmarks/narrowing.py lanes      # only what a lane and a recorded program cost

The first table has the numbers that the rule in `normbench/engine/narrowing.py` rests on: what one more lane
takes in each step, and how long the programs of another number of lanes are recorded. For the second one,
stacks of whole experiments are trained under three rules in turn: lanes of runs that diverged are computed to
the end, dropped at once, or as normbench does it. The program ends if the records differ. All times are those
of one thread on the CPU, so that other processes disturb them little.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import table
import torch
from stacks import random_data, trainer

from normbench.config import load_config
from normbench.data import Dataset, load
from normbench.engine import trace, vectorized
from normbench.engine.events import Event, RunEnd
from normbench.engine.loop import StackTrainer
from normbench.engine.narrowing import ELEMENT_FLOPS
from normbench.engine.vectorized import TRACE_FLOPS
from normbench.planning.net_cost import net_cost
from normbench.planning.plan import make_plan
from normbench.planning.runs import Stack
from normbench.planning.stacks import stack_key

RULES = {"computed to the end": math.inf, "dropped at once": 0.0, "as normbench": TRACE_FLOPS}
# Configs, and which of their stacks are trained: every so many.
CONFIGS = (("bn_larger_lr_mnist", 19), ("claims/c17_products_mnist", 5), ("quickstart", 1))
NETS = (  # sides of an image, depth, width, normalization, batch size, optimizer
    (8, 2, 16, "none", 20, "sgd"),
    (8, 5, 64, "batchnorm", 60, "sgd"),
    (28, 3, 100, "none", 60, "sgd"),
    (28, 3, 100, "batchnorm", 60, "sgd"),
    (28, 3, 100, "batchnorm", 60, "adam"),
    (28, 10, 100, "batchnorm", 60, "sgd"),
    (28, 10, 256, "batchnorm", 60, "sgd"),
)
FEW, MANY = 8, 24  # lanes
ROUNDS = 7


class Counting(StackTrainer):
    """Counts the steps of all lanes, idle ones included."""

    lane_steps = 0

    def _train_step(self) -> None:
        self.lane_steps += self.state.width
        super()._train_step()


def timed(work: Callable[[], object]) -> float:
    """Return the CPU seconds of a call."""
    began = time.process_time()
    work()
    return time.process_time() - began


def train(stack: StackTrainer, steps: int) -> None:
    with torch.no_grad():
        for _ in range(steps):
            stack._train_step()


def programs(stack: StackTrainer, recorded: bool) -> None:
    """Make a step and an evaluation; forget first what was recorded for them, if it is to be recorded."""
    if recorded:
        trace._cache.clear()
        stack.executor._made_for = {}, {}
    train(stack, 1)
    images = stack.dataset.test
    stack.executor.evaluate(stack.state, images.x[:1000], images.y[:1000])


def lanes() -> None:
    rows = []
    for side, depth, width, norm, batch, optimizer in NETS:
        data = random_data((1, side, side))
        model = f"{{name: mlp, depth: {depth}, width: {width}, activation: relu, norm: {norm}}}"
        stacks = {
            count: trainer(model, data, batch, count, "vectorized", 1, optimizer) for count in (FEW, MANY)
        }
        few, steps = stacks[FEW], max(3, 400 // depth // max(1, width // 100))
        for stack in stacks.values():
            train(stack, steps)
        taken: dict[int, list[float]] = {count: [] for count in stacks}
        for _ in range(ROUNDS):
            for count, stack in stacks.items():
                taken[count].append(timed(partial(train, stack, steps)) / steps * 1e3)
        recording = [
            timed(partial(programs, few, True)) - timed(partial(programs, few, False)) for _ in range(ROUNDS)
        ]
        lane = [(b - a) / (MANY - FEW) for a, b in zip(taken[FEW], taken[MANY], strict=True)]
        net = net_cost(few.settings.model, data.input_shape, 10)
        counted = batch * (net.train_flops + ELEMENT_FLOPS * net.activations) / 1e9
        each = statistics.median(recording) / net.layers
        speed = counted / (statistics.median(lane) / 1e3)
        rows.append(
            {
                "net, batch": f"{depth} x {width} over {side} x {side}, {norm}, {optimizer}, {batch}",
                "one more lane, ms a step": table.spread(lane, 4),
                "counted GFLOP of it": f"{counted:.4f}",
                "counted GFLOP/s": f"{speed:.0f}",
                "recording, s": table.spread(recording, 3),
                "counted GFLOP in that time, for a layer": f"{each * speed:.1f}",
                "n": ROUNDS,
            }
        )
        print(rows[-1], flush=True)
    table.write("narrowing_lanes", rows)


class Total:
    """What a rule took for the stacks of a config so far."""

    def __init__(self, price: float) -> None:
        self.price = price
        self.programs: OrderedDict[Any, Any] = OrderedDict()  # as in a process that trains by this rule alone
        self.seconds, self.recorded, self.lane_steps = 0.0, 0, 0
        self.of_stacks: list[float] = []

    def train(self, stack: Stack, data: Dataset) -> list[Event]:
        """Train a stack; return what it reports, without times."""
        vectorized.TRACE_FLOPS, trace._cache = self.price, self.programs
        recorded, events = trace.recorded, list[Event]()

        def counting(*arguments: Any) -> Any:
            self.recorded += 1
            return recorded(*arguments)

        def work() -> None:
            one = Counting(stack.runs, data, stack.executor, stack_key(stack.runs[0].settings))
            events.extend(one.events())
            self.lane_steps += one.lane_steps

        trace.recorded = counting
        try:
            self.of_stacks.append(timed(work))
        finally:
            trace.recorded = recorded
        self.seconds += self.of_stacks[-1]
        return [replace(one, train_seconds=0.0) if isinstance(one, RunEnd) else one for one in events]


def whole(names: Sequence[str]) -> None:
    rows = []
    for name, stride in CONFIGS:
        if names and name not in names:
            continue
        plan = make_plan(load_config(table.ROOT / "configs" / f"{name}.yaml"), device="cpu")
        chosen = plan.stacks[::stride]
        totals = {rule: Total(price) for rule, price in RULES.items()}
        diverged = 0
        for place, stack in enumerate(chosen):
            settings = stack.runs[0].settings
            data = load(settings.data.for_seed(stack.runs[0].seed), dtype=settings.train.torch_dtype)
            order = list(totals.values())
            first = place % len(order)
            found = [total.train(stack, data) for total in order[first:] + order[:first]]
            texts = [list(map(repr, events)) for events in found]  # in which NaN equals NaN
            if not texts[0] == texts[1] == texts[2]:
                raise SystemExit(f"{name}: the records of stack {stack.stack_id} depend on the rule")
            diverged += sum(getattr(event, "status", "") == "diverged" for event in found[0])
            print(name, place + 1, len(chosen), [round(total.seconds, 1) for total in order], flush=True)
        runs = sum(len(stack.runs) for stack in chosen)
        steps = sum(len(stack.runs) * stack.runs[0].settings.train.steps for stack in chosen)
        base = totals["computed to the end"]
        for rule, total in totals.items():
            ratios = [one / other for one, other in zip(total.of_stacks, base.of_stacks, strict=True)]
            rows.append(
                {
                    "config": name,
                    "runs, diverged": f"{runs:,}, {diverged / runs:.0%}",
                    "lanes of diverged runs": rule,
                    "steps of lanes": f"{total.lane_steps / steps:.1%}",
                    "programs": total.recorded,
                    "CPU seconds": f"{total.seconds:.1f}",
                    "of all lanes' time": f"{total.seconds / base.seconds:.3f}",
                    "by stack": table.spread(ratios),
                    "stacks": len(chosen),
                }
            )
            print(rows[-1], flush=True)
    table.write("narrowing", rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="?", choices=("lanes", "whole"), help="both, unless one is named")
    parser.add_argument("--only", action="append", default=[], help="a config, such as quickstart")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.part != "whole":
        lanes()
    if options.part != "lanes":
        whole(options.only)


if __name__ == "__main__":
    main()
