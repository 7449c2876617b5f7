"""Measures what it saves that runs which diverge leave their stack.

    python benchmarks/narrowing.py                      # about 6 minutes on a quiet core
    python benchmarks/narrowing.py --only quickstart

Stacks of whole experiments are trained in two ways in turn: the lanes of runs that diverged are computed to
the end, or dropped at once, as normbench does it. Fewer lanes need programs of their own; their recording is
part of the time. The program ends if the records differ. All times are those of one thread on the CPU, so
that other processes disturb them little.
"""

from __future__ import annotations

import argparse
import time
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import table
import torch

from normbench.config import load_config
from normbench.data import Dataset, load
from normbench.engine import trace
from normbench.engine.events import Event, RunEnd
from normbench.engine.loop import StackTrainer
from normbench.planning.plan import make_plan
from normbench.planning.runs import Stack
from normbench.planning.stacks import stack_key

# Configs, and the step between the stacks that are trained: 19 means each 19th.
CONFIGS = (("bn_larger_lr_mnist", 19), ("claims/c17_products_mnist", 5), ("quickstart", 1))


class AtOnce(StackTrainer):
    """Counts the steps of all lanes."""

    lane_steps = 0

    def _train_step(self) -> None:
        self.lane_steps += self.state.width
        super()._train_step()

    def reported(self) -> Iterator[Event]:
        """Yield the events that belong into the records."""
        return self.events()


class ToTheEnd(AtOnce):
    """Computes the lanes of runs that ended, until the last run has ended."""

    def reported(self) -> Iterator[Event]:
        """Yield the events, without those of runs that ended before."""
        self.ended: set[str] = set()
        for event in self.events():
            if event.run_id not in self.ended:
                yield event
            if isinstance(event, RunEnd):
                self.ended.add(event.run_id)

    def _leave(self, leaving: Collection[int]) -> None:
        if len(self.ended) == len(self.runs):
            self.state.lanes = []


WAYS: dict[str, type[AtOnce]] = {"computed to the end": ToTheEnd, "dropped at once": AtOnce}


class Total:
    """What one way took for the stacks of a config so far."""

    def __init__(self, way: type[AtOnce]) -> None:
        self.way = way
        self.programs: OrderedDict[Any, Any] = OrderedDict()  # as in a process that trains in this way alone
        self.seconds, self.recorded, self.lane_steps = 0.0, 0, 0
        self.of_stacks: list[float] = []

    def train(self, stack: Stack, data: Dataset) -> list[Event]:
        """Train a stack; return what it reports, without times."""
        trace._cache = self.programs
        recorded, events = trace.recorded, list[Event]()

        def counting(*arguments: Any) -> Any:
            self.recorded += 1
            return recorded(*arguments)

        trace.recorded = counting
        began = time.process_time()
        try:
            one = self.way(stack.runs, data, stack.executor, stack_key(stack.runs[0].settings))
            events.extend(one.reported())
        finally:
            trace.recorded = recorded
        self.of_stacks.append(time.process_time() - began)
        self.seconds += self.of_stacks[-1]
        self.lane_steps += one.lane_steps
        return [replace(one, train_seconds=0.0) if isinstance(one, RunEnd) else one for one in events]


def measure(names: Sequence[str]) -> None:
    rows = []
    for name, stride in CONFIGS:
        if names and name not in names:
            continue
        plan = make_plan(load_config(table.ROOT / "configs" / f"{name}.yaml"), device="cpu")
        chosen = plan.stacks[::stride]
        totals = {label: Total(way) for label, way in WAYS.items()}
        diverged = 0
        for place, stack in enumerate(chosen):
            settings = stack.runs[0].settings
            data = load(settings.data.for_seed(stack.runs[0].seed), dtype=settings.train.torch_dtype)
            order = list(totals.values())
            found = [total.train(stack, data) for total in (order[::-1] if place % 2 else order)]
            if repr(found[0]) != repr(found[1]):  # as text, in which NaN equals NaN
                raise SystemExit(f"{name}: the records of stack {stack.stack_id} depend on the lanes")
            diverged += sum(getattr(event, "status", "") == "diverged" for event in found[0])
            print(name, place + 1, len(chosen), [round(total.seconds, 1) for total in order], flush=True)
        runs = sum(len(stack.runs) for stack in chosen)
        steps = sum(len(stack.runs) * stack.runs[0].settings.train.steps for stack in chosen)
        base = totals["computed to the end"]
        for way, total in totals.items():
            ratios = [one / other for one, other in zip(total.of_stacks, base.of_stacks, strict=True)]
            rows.append(
                {
                    "config": name,
                    "runs, diverged": f"{runs:,}, {diverged / runs:.0%}",
                    "lanes of diverged runs": way,
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
    parser.add_argument("--only", action="append", default=[], help="a config, such as quickstart")
    options = parser.parse_args()
    torch.set_num_threads(1)
    measure(options.only)


if __name__ == "__main__":
    main()
