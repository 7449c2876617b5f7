"""Which runs train together: runs of equal shapes form stacks, each as large as its device takes well."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from normbench.config import SECTIONS, Settings
from normbench.planning.net_cost import net_cost
from normbench.planning.run_id import Once, digest
from normbench.planning.runs import RunSpec, Stack
from normbench.planning.shapes import data_shape
from normbench.probes import Probe
from normbench.registry import Options

# How many runs make a stack on a CPU (benchmarks/stack_size.py). More runs spare calls and divide evenly
# among the cores, up to weights far beyond the caches, which are trained at the memory's speed; smaller
# stacks keep all cores busy to the end of a sweep. Runs of one seed share their batch; others need a copy
# each, which pays where the images are small and the calls of a step, which a larger stack spares, take
# longer than copying this many bytes.
CPU_STACK_BYTES = 48 * 2**20
CPU_STACK_RUNS = 64
CPU_STEP_BYTES = 750_000
GPU_STACK_RUNS = 1024


def _in_common(section: Options) -> str:
    return json.dumps(section.in_common(), sort_keys=True)


def stack_key(settings: Settings, in_common: Callable[[Any], str] = _in_common) -> str:
    """Return what the runs of a stack have in common: all but what may differ lane by lane.

    `in_common`: of a section; for many settings one that remembers.
    """
    return "\n".join(in_common(getattr(settings, name)) for name in SECTIONS)


def form_stacks(
    runs: Sequence[RunSpec], device: str, executor: str, data_dir: Path | None, probes: Iterable[Probe]
) -> tuple[Stack, ...]:
    """Group runs of equal shapes into stacks, seed by seed, each as large as its device takes well.

    A probe of whole stacks keeps seeds apart: one measurement for several were no independent repetition. And
    it goes seed by seed through all groups, so that a machine slow for a while is so to each of them.
    """
    apart = any(probe.of_stack for probe in probes)
    groups: dict[str, list[RunSpec]] = {}
    key = Once(partial(stack_key, in_common=Once(_in_common)))
    for run in runs:
        groups.setdefault(key(run.settings), []).append(run)
    stacks = []
    for members in groups.values():
        settings = members[0].settings
        chosen = choose_executor(settings, device) if executor == "auto" else executor
        most = stack_size(settings, device, data_dir)
        for part in _by_seed(members, device, data_dir, apart):
            count = -(-len(part) // most)
            for index in range(count):  # stacks of nearly equal size
                start, end = (len(part) * i // count for i in (index, index + 1))
                stacks.append(_stack(part[start:end], chosen))
    return tuple(sorted(stacks, key=lambda stack: stack.runs[0].seed) if apart else stacks)


def _by_seed(runs: Sequence[RunSpec], device: str, data_dir: Path | None, apart: bool) -> list[list[RunSpec]]:
    """Return the runs in the order of their seeds, apart where asked or copies of batches would cost more."""
    seeds: dict[int, list[RunSpec]] = {}
    for run in sorted(runs, key=lambda run: run.seed):
        seeds.setdefault(run.seed, []).append(run)
    data = runs[0].settings.data
    batch_bytes = 4 * data.batch_size * math.prod(data_shape(data, data_dir).input_shape)
    dear = device == "cpu" and len(runs) / len(seeds) * batch_bytes > CPU_STEP_BYTES
    if apart or dear:
        return list(seeds.values())
    return [[run for members in seeds.values() for run in members]]


def _stack(runs: Sequence[RunSpec], executor: str) -> Stack:
    return Stack(digest("/".join(run.run_id for run in runs), 8), tuple(runs), executor)


def split_stack(stack: Stack, runs: Sequence[RunSpec] | None = None) -> tuple[Stack, ...]:
    """Return the two halves of a stack, or of those of its runs that are left; one left stands alone."""
    left = stack.runs if runs is None else runs
    halves = (left[: len(left) // 2], left[len(left) // 2 :])
    return tuple(_stack(half, stack.executor) for half in halves if half)


def choose_executor(settings: Settings, device: str) -> str:
    """Return the executor by rule: vectorized but for architectures that say that they run faster apart."""
    return "looped" if settings.model.runs_apart(device) else "vectorized"


def stack_size(settings: Settings, device: str, data_dir: Path | None) -> int:
    """Return how many runs make a stack, at most: what keeps their weights in a CPU's cache."""
    if device != "cpu":
        return GPU_STACK_RUNS
    info = data_shape(settings.data, data_dir)
    item = settings.train.itemsize
    weights = item * net_cost(settings.model, info.input_shape, info.classes).parameters
    return max(2, min(CPU_STACK_RUNS, CPU_STACK_BYTES // weights))
