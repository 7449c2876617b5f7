"""`normbench plan`: show variants or cells, stacks, totals and notes, and train nothing."""

from __future__ import annotations

import gc
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from normbench.cli.options import (
    Configs,
    DataDir,
    Device,
    DeviceOption,
    Executor,
    ExecutorOption,
    Json,
    Overrides,
    Plugins,
    ShardOption,
)
from normbench.cli.output import amount, duration, print_json, print_table, say_reading, scalar, span
from normbench.counts import counted
from normbench.errors import NormbenchError
from normbench.names import RATE

if TYPE_CHECKING:
    from normbench.config import Settings
    from normbench.planning.decidable import Decidable
    from normbench.planning.estimate import Estimate
    from normbench.planning.limits import Limits
    from normbench.planning.plan import Plan
    from normbench.planning.runs import RunSpec

STACK_ROWS = 12  # kinds of stacks that the text shows; --json has each stack


@contextmanager
def _without_collection() -> Iterator[None]:
    """Switch cyclic garbage collection off during a short piece of work.

    Each collection visits all objects of torch; in a large plan this took an eighth of the time.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@_without_collection()
def plan(
    configs: Configs,
    overrides: Overrides = None,
    data_dir: DataDir = None,
    plugin: Plugins = None,
    device: DeviceOption = Device.auto,
    executor: ExecutorOption = Executor.auto,
    cells: Annotated[
        bool, typer.Option("--cells", help="Show every cell, not one row for each variant.")
    ] = False,
    spread: Annotated[
        Optional[str],
        typer.Option(
            metavar="NUMBER|RESULTS",
            help="Standard deviation of ratios over seeds, in natural logarithms, such as 0.3; or a results "
            "folder to take that of each claim from. Gives the power of claims about ratios.",
        ),
    ] = None,
    shard: ShardOption = None,
    as_json: Json = False,
) -> None:
    """Show what a config would train: cells, stacks, parameters, FLOPs, estimated time and memory.

    With claims, it shows how many seeds each needs to be decided at all, and the power of the config's own.
    With `decide:`, it shows the time of the first seeds and of all that may be added. The times of several
    configs are summed.

    \b
    Example:  normbench plan configs/bn_larger_lr_mnist.yaml --set model.depth=3
    """
    if sys.stderr.isatty():
        say_reading(configs)
    from normbench import api
    from normbench.cli.progress import reporter_for
    from normbench.data import listed_once
    from normbench.planning.decidable import decidable, notes
    from normbench.planning.estimate import estimate
    from normbench.planning.limits import limits_of

    answers, reporter, spreads = [], reporter_for(), _spreads(spread)
    totals = _Totals()
    with listed_once():  # configs share folders of images
        for config in configs:
            found = api.plan(
                config,
                overrides or (),
                data_dir=data_dir,
                device=device.value,
                executor=executor.value,
                plugins=plugin or (),
                shard=shard,
                reporter=reporter,
            )
            costs = estimate(found)
            claims = decidable(found.experiment, spreads)
            limits = limits_of(found.experiment, None if shard is None else False)
            decides = None if limits is None else _decides(found, limits)
            totals.add(costs, decides)
            said = notes(claims, decides and decides["most_seeds_of"])
            if as_json:
                answer = _answer(costs)
                answer["notes"] = [*answer["notes"], *said]
                answer = answer if shard is None else {**answer, "shard": shard}
                answers.append({**answer, "claims": [claim.plain() for claim in claims], "decide": decides})
            else:
                _print_plan(costs, every_cell=cells, shard=shard)
                _print_claims(claims)
                if decides is not None:
                    _print_decides(decides)
                for note in said:
                    typer.echo(f"note: {note}")
    if as_json:
        print_json(answers)
    elif totals.configs > 1:
        typer.echo(f"\n{totals.sentence()}")


@dataclass
class _Totals:
    """What several configs take together: one trains after the other, so the largest memory counts."""

    configs: int = 0
    runs: int = 0
    first: float = 0.0  # seconds
    most: float = 0.0  # seconds, with all seeds that `decide:` may add
    memory: float = 0.0  # bytes

    def add(self, costs: Estimate, decides: Mapping[str, Any] | None) -> None:
        """Count one config."""
        self.configs += 1
        self.runs += costs.plan.most_runs()
        self.first += costs.seconds if decides is None else decides["estimated_seconds_first"]
        self.most += costs.seconds if decides is None else decides["estimated_seconds_all"]
        self.memory = max(self.memory, costs.memory_bytes)

    def sentence(self) -> str:
        """Return the sums in words."""
        more = (
            f", {duration(self.most)} if all seeds of `decide:` are needed" if self.most > self.first else ""
        )
        return (
            f"All {self.configs} configs: {self.runs:,} runs; an estimate, not a measurement: about "
            f"{duration(self.first)}{more}, and {amount(self.memory, 'B')} of memory, one config after the "
            "other."
        )


def _answer(costs: Estimate) -> dict[str, Any]:
    """Return a plan as plain data."""
    plan = costs.plan
    return {
        "name": plan.experiment.name,
        "runs": plan.most_runs(),
        "seeds": plan.experiment.seeds,
        "device": plan.device,
        "columns": list(plan.columns),
        "cells": [
            {
                **cell.values,
                **({"refining": cell.refining} if plan.searches else {}),
                "parameters": costs.cost(cell.settings).parameters,
                "step_flops": costs.step_flops(cell.settings),
            }
            for cell in plan.experiment.cells
        ],
        "stacks": [vars(stack) for stack in costs.stacks],
        "probes": [vars(probe) for probe in costs.probes],
        "flops": costs.flops,
        "assumed_gflops": costs.gflops,
        "estimated_seconds": costs.seconds,
        "estimated_memory_bytes": costs.memory_bytes,
        "free_memory_bytes": None if math.isinf(plan.memory) else plan.memory,
        "notes": plan.notes,
    }


def _print_plan(costs: Estimate, every_cell: bool, shard: str | None) -> None:
    """Print the plan: a row for each variant (or cell), its stacks, the totals, the notes."""
    plan = costs.plan
    keys = [key for key in plan.columns if every_cell or key != RATE]
    groups: dict[tuple[Any, ...], list[RunSpec]] = {}
    for run in plan.runs:
        if every_cell and run.refining:
            continue  # the search decides during training which of them it needs
        groups.setdefault(tuple(run.values.get(key) for key in keys), []).append(run)
    shown = [key for key in keys if len({run.values.get(key) for run in plan.runs}) > 1] or keys
    rates = RATE in plan.columns and not every_cell
    rows = []
    for runs in groups.values():
        values = runs[0].values
        row = [values.get(key) for key in shown]
        if rates:
            row.append(span([run.values[RATE] for run in runs]))
        count = len(runs) if every_cell else plan.most_runs(runs)
        row += [len({run.seed for run in runs}), count, *_sizes(costs, [run.settings for run in runs])]
        rows.append(row)
    heads = [*shown, *(["learning rates"] if rates else []), "seeds", "runs", "parameters", "FLOP a step"]
    counts = [(plan.most_runs(), "run"), (len(plan.experiment.cells), "cell")]
    title = " of ".join(f"{count:,} {word}{'' if count == 1 else 's'}" for count, word in counts)
    name = plan.experiment.name if shard is None else f"{plan.experiment.name}, shard {shard}"
    title = f"{name}: {'at most ' if plan.searches else ''}{title}"
    print_table(title, heads, rows, right=4)
    shared = _shared(plan.runs[0].values, keys, shown) if plan.runs else ""
    if shared:
        typer.echo(f"All have {shared}.\n")
    if plan.runs:
        _print_stacks(costs)
        _print_probes(costs)
        _print_totals(costs)
    for note in plan.notes:
        typer.echo(f"note: {note}")


def _sizes(costs: Estimate, settings: list[Settings]) -> list[str]:
    """Return parameters and FLOPs of a training step; for several architectures the smallest and largest."""
    found = {id(one): one for one in settings}.values()
    parameters = sorted({costs.cost(one).parameters for one in found})
    flops = sorted({costs.step_flops(one) for one in found})
    return [
        " to ".join(f"{number:,}" for number in dict.fromkeys((parameters[0], parameters[-1]))),
        " to ".join(amount(number, "FLOP") for number in dict.fromkeys((flops[0], flops[-1]))),
    ]


def _shared(values: Mapping[str, Any], keys: list[str], shown: list[str]) -> str:
    return ", ".join(f"{key} = {scalar(values.get(key))}" for key in keys if key not in shown)


def _print_stacks(costs: Estimate) -> None:
    kinds: dict[tuple[Any, ...], int] = {}
    for stack in costs.stacks:
        memory = amount(float(f"{stack.memory_bytes:.1e}"), "B")  # an estimate: two digits
        kind = (stack.executor, stack.runs, stack.steps, memory, round(stack.seconds))
        kinds[kind] = kinds.get(kind, 0) + 1
    rows = [
        [count, executor, runs, steps, duration(seconds), memory]
        for (executor, runs, steps, memory, seconds), count in kinds.items()
    ]
    left = len(rows) - STACK_ROWS
    print_table(
        f"{len(costs.stacks):,} stacks on {costs.plan.device}",
        ["stacks", "executor", "runs of each", "steps", "time of each", "memory of each"],
        rows[:STACK_ROWS],
        right=4,
    )
    if left > 0:
        typer.echo(f"... and {left} more kinds of stacks (all: --json)\n")


def _print_probes(costs: Estimate) -> None:
    rows = [
        [
            probe.name,
            ", ".join(name.partition(".")[2] for name in probe.quantities) or None,
            probe.measurements,
            f"{probe.steps_each:.1f} steps",
            f"{probe.share:.1%}",
        ]
        for probe in costs.probes
    ]
    if rows:
        heads = ["probe", "quantities", "measurements of a run", "each takes about", "of the training time"]
        print_table("Probes", heads, rows, right=1)


def _spreads(text: str | None) -> float | dict[str, float] | None:
    """Return the spread that is given: a number, or those of the claims of a results folder, by their id."""
    if text is None:
        return None
    if Path(text).is_dir():
        from normbench.analysis.sequential import spreads_in

        return spreads_in(Path(text))
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise NormbenchError(
            f"--spread: found '{text}', which is no folder; allowed: a number above 0 such as 0.3, or a "
            "results folder"
        )
    return value


def _print_claims(claims: Sequence[Decidable]) -> None:
    """Print what each claim can decide."""
    from normbench.stats.decide import METHODS

    rows = [
        [
            claim.id,
            claim.verdicts,
            METHODS[claim.estimator],
            f"n = {claim.needed}" if claim.needed else "over n = 100",
            f"n = {claim.n}",
            "\n".join(f"{one.truth}: {one.power:.2f}" for one in claim.powers) or "see --spread",
        ]
        for claim in claims
    ]
    if rows:
        families = len({claim.family for claim in claims})
        total = sum(claim.verdicts for claim in claims)
        title = f"Claims: {counted(total, 'verdict')}" + (f" in {families} families" if families > 1 else "")
        heads = ["claim", "verdicts", "by", "can decide from", "seeds here", "power with these (Holm)"]
        print_table(title, heads, rows)


def _decides(plan: Plan, limits: Limits) -> dict[str, Any]:
    """Return how seeds are added to a plan, and the time of the first seeds and of all."""
    from normbench.planning.estimate import estimate
    from normbench.planning.limits import first_and_most

    first, most = first_and_most(plan, limits)
    start = len(first.experiment.seeds)
    claims = plan.experiment.claims
    return {
        "claims": "primary" if limits.primary_only else "all",
        "first_seeds": first.experiment.seeds,
        "max_seeds": limits.most_seeds,
        "most_seeds_of": {one.id: limits.most_seeds if limits.grows(one) else start for one in claims},
        "budget_seconds": None if math.isinf(limits.budget) else limits.budget,
        "estimated_seconds_first": estimate(first).seconds,
        "estimated_seconds_all": estimate(most).seconds,
    }


def _print_decides(decides: dict[str, Any]) -> None:
    primary, budget = decides["claims"] == "primary", decides["budget_seconds"]
    whose = "the primary claim until it is" if primary else "open claims until they are"
    typer.echo(
        f"`run` adds seeds to the cells of {whose} decided, up to {decides['max_seeds']} (`decide:`). "
        f"Training takes about {duration(decides['estimated_seconds_first'])} with the first "
        f"{len(decides['first_seeds'])} seeds, about {duration(decides['estimated_seconds_all'])} if all are "
        f"needed{'' if budget is None else f'; the budget of a command is {duration(budget)}'}."
    )


def _print_totals(costs: Estimate) -> None:
    typer.echo(
        f"In all {amount(costs.flops, 'FLOP')}; an estimate, not a measurement: about "
        f"{duration(costs.seconds)} and {amount(costs.memory_bytes, 'B')} of memory\n"
        f"(assumes {costs.gflops:g} GFLOP/s in matrix products and fixed costs for each stack, layer, step "
        "and evaluation)."
    )
