"""One part of a plan of several, so that machines train a sweep together and need no server.

The division follows from the plan alone: from its runs, what they cost by the estimate, and the number of
parts. What a results folder has, how much memory is free and how a stack is computed do not matter. So each
machine finds the same parts. They do depend on the device, as stacks do.

What stays together (a unit) goes to the part that has the least so far, the most expensive first:

- a stack, so that each run trains in the stack in which it trains without parts;
- with a search for the edge of the learning rates, all runs that could share a stack, since each round of the
  search forms new stacks. If there are fewer such groups than parts, they are divided by seed. In both cases
  a search is in one part.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from normbench.errors import NormbenchError
from normbench.planning.estimate import estimate
from normbench.planning.plan import Plan
from normbench.planning.runs import RunSpec
from normbench.planning.stacks import grouped

MOST = 9999  # parts of a plan


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count`; the first one is 1."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the part that a text such as `2/3` names.

        Raises:
            NormbenchError: it names none.
        """
        found = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text.strip(), re.ASCII)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise NormbenchError(
                f"--shard: found '{text}'; allowed: I/N for part I of N, such as 1/3, 2/3 and 3/3 (N is at "
                f"most {MOST})"
            )
        return cls(int(found[1]), int(found[2]))

    @property
    def folder(self) -> str:
        """Return the name of its folder."""
        return f"{self.index}-of-{self.count}"

    def __str__(self) -> str:
        return f"shard {self.index} of {self.count}"


def part_of(plan: Plan, shard: Shard) -> Plan:
    """Return the plan that asks for the runs of one part; it knows the others, too."""
    mine = frozenset(run.run_id for run in divide(plan, shard.count)[shard.index - 1])
    remarks = plan.remarks
    if not mine:
        remarks = (*remarks, f"{shard} has nothing to train: the plan has {_what_stays(plan, shard.count)}")
    whole = replace(plan, memory=math.inf)
    units = () if plan.searches else tuple(one for one in whole.stacks if one.runs[0].run_id in mine)
    return replace(plan, asked=mine, units=units, remarks=remarks)


def divide(plan: Plan, count: int) -> list[list[RunSpec]]:
    """Return the runs of each of `count` parts, in the order of their units."""
    plan = _undivided(plan)
    units = _units(plan, count)
    unit_of = {run.run_id: place for place, unit in enumerate(units) for run in unit}
    costs = [0.0] * len(units)
    for stack, cost in zip(plan.stacks, estimate(plan).stacks, strict=True):
        for run in stack.runs:
            costs[unit_of[run.run_id]] += cost.seconds / len(stack.runs)
    loads = [0.0] * count
    members: list[list[int]] = [[] for _ in range(count)]
    for place in sorted(range(len(units)), key=lambda place: (-costs[place], place)):
        lightest = loads.index(min(loads))
        loads[lightest] += costs[place]
        members[lightest].append(place)
    return [[run for place in sorted(places) for run in units[place]] for places in members]


def _undivided(plan: Plan) -> Plan:
    """Return the plan as it is on a machine with all memory, and without what a machine found out."""
    return replace(plan, memory=math.inf, executor="auto", executors={})


def _what_stays(plan: Plan, count: int) -> str:
    number = len(_units(_undivided(plan), count))
    if not plan.searches:
        return (
            "1 stack, which is never divided" if number == 1 else f"{number} stacks, which are never divided"
        )
    return f"{number} nets and seeds whose runs stay together"


def _units(plan: Plan, count: int) -> Sequence[Sequence[RunSpec]]:
    """Return the runs that stay together."""
    if not plan.searches:
        return [stack.runs for stack in plan.stacks]
    units = grouped(plan.runs)
    return list((units if len(units) >= count else grouped(plan.runs, by_seed=True)).values())
