"""Which runs train together: runs of equal shapes form stacks, as large as the device trains efficiently."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from normbench.config import SECTIONS, Settings
from normbench.memo import Memo
from normbench.planning.net_cost import net_cost
from normbench.planning.run_id import digest
from normbench.planning.runs import RunSpec, Stack
from normbench.planning.shapes import data_shape
from normbench.probes import Probe
from normbench.registry import Options

# How many runs make a stack on a CPU (benchmarks/stack_size.py). A larger stack saves calls and divides
# evenly among the cores, until its weights are far larger than the caches and train at the speed of the
# memory. A smaller stack keeps all cores busy to the end of a sweep. Runs of one seed share their batch; runs
# of several seeds need a copy each. The copy pays if it takes less time than the calls that a larger stack
# saves in a step: up to this many bytes.
CPU_STACK_BYTES = 48 * 2**20
CPU_STACK_RUNS = 64
CPU_STEP_BYTES = 750_000
GPU_STACK_RUNS = 1024


def _in_common(section: Options) -> str:
    return json.dumps(section.in_common(), sort_keys=True)


def stack_key(settings: Settings, in_common: Callable[[Any], str] = _in_common) -> str:
    """Return what the runs of a stack have in common: all settings except those that may differ by run.

    Args:
        settings: of a run.
        in_common: returns the text of a section; for many settings, pass a function that remembers.
    """
    return "\n".join(in_common(getattr(settings, name)) for name in SECTIONS)


def grouped(runs: Iterable[RunSpec], by_seed: bool = False) -> dict[tuple[str, int | None], list[RunSpec]]:
    """Return the runs that can share a stack, by their `stack_key` and, where that divides them, their seed.

    Args:
        runs: in the plan's order, which they keep.
        by_seed: divide all by seed, not only those whose data sets differ by seed.
    """
    groups: dict[tuple[str, int | None], list[RunSpec]] = {}
    key = Memo(partial(stack_key, in_common=Memo(_in_common)))
    for run in runs:
        seed = run.seed if by_seed or run.settings.data.differs_by_seed else None
        groups.setdefault((key(run.settings), seed), []).append(run)
    return groups


def part_of_stack(stack: Stack, run_ids: Container[str], executor: str | None = None) -> Stack | None:
    """Return the stack of some of a stack's runs, None if there are none.

    Args:
        stack: the whole one.
        run_ids: of the runs to take.
        executor: in place of that of the stack.
    """
    left = [run for run in stack.runs if run.run_id in run_ids]
    return stack_of(left, executor or stack.executor) if left else None


def form_stacks(
    runs: Sequence[RunSpec],
    device: str,
    executor: str,
    data_dir: Path | None,
    probes: Iterable[Probe],
    executors: Mapping[str, str],
) -> tuple[Stack, ...]:
    """Group runs of equal shapes into stacks, seed by seed.

    With a probe that measures whole stacks, each seed gets its own stack, so that seeds are independent
    repetitions. Seeds are then interleaved across variants, so that a slow spell of the machine affects all
    variants equally. Seeds that have data sets of their own (`data.split_seed: seed`) get own stacks, too.

    Args:
        runs: to train, in the plan's order.
        device: that trains them; it decides how many runs make a stack.
        executor: `auto` for the executor that suits the architecture, or its name.
        data_dir: folder of the data sets.
        probes: of the experiment.
        executors: with `auto`, those to take in place of the one that suits, by `stack_key`.
    """
    apart = any(probe.of_stack for probe in probes)
    stacks = []
    for (shared, _), members in grouped(runs).items():
        settings = members[0].settings
        chosen = executors.get(shared, choose_executor(settings, device)) if executor == "auto" else executor
        most = stack_size(settings, device, data_dir)
        for part in _by_seed(members, device, data_dir, apart):
            count = -(-len(part) // most)
            for index in range(count):  # stacks of nearly equal size
                start, end = (len(part) * i // count for i in (index, index + 1))
                stacks.append(stack_of(part[start:end], chosen))
    return tuple(sorted(stacks, key=lambda stack: stack.runs[0].seed) if apart else stacks)


def _by_seed(runs: Sequence[RunSpec], device: str, data_dir: Path | None, apart: bool) -> list[list[RunSpec]]:
    """Return the runs ordered by seed, one list per seed if asked or if copies of batches would be slower."""
    seeds: dict[int, list[RunSpec]] = {}
    for run in sorted(runs, key=lambda run: run.seed):
        seeds.setdefault(run.seed, []).append(run)
    data = runs[0].settings.data
    batch_bytes = 4 * data.batch_size * math.prod(data_shape(data, data_dir).input_shape)
    copies_are_slow = device == "cpu" and len(runs) / len(seeds) * batch_bytes > CPU_STEP_BYTES
    if apart or copies_are_slow:
        return list(seeds.values())
    return [[run for members in seeds.values() for run in members]]


def stack_of(runs: Sequence[RunSpec], executor: str) -> Stack:
    """Return the stack of these runs."""
    return Stack(digest("/".join(run.run_id for run in runs), 8), tuple(runs), executor)


def split_stack(stack: Stack, runs: Sequence[RunSpec] | None = None) -> tuple[Stack, ...]:
    """Return the two halves of a stack, or of the runs of it that are left; one run gives one stack."""
    left = stack.runs if runs is None else runs
    halves = (left[: len(left) // 2], left[len(left) // 2 :])
    return tuple(stack_of(half, stack.executor) for half in halves if half)


def choose_executor(settings: Settings, device: str) -> str:
    """Return `vectorized`, or `looped` for an architecture that runs faster one run at a time."""
    return "looped" if settings.model.runs_apart(device) else "vectorized"


def stack_size(settings: Settings, device: str, data_dir: Path | None) -> int:
    """Return the largest number of runs in a stack; on a CPU their weights should fit into its cache."""
    if device != "cpu":
        return GPU_STACK_RUNS
    info = data_shape(settings.data, data_dir)
    weights = settings.train.itemsize * net_cost(settings.model, info.input_shape, info.classes).parameters
    return max(2, min(CPU_STACK_RUNS, CPU_STACK_BYTES // weights))
