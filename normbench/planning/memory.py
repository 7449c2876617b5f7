"""The memory that a stack takes, the memory that is free, and stacks divided until they fit."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import torch

from normbench.config import Settings
from normbench.counts import counted
from normbench.data.batches import EVAL_ROWS
from normbench.names import WHOLE_STACK
from normbench.planning.net_cost import net_cost
from normbench.planning.runs import Stack
from normbench.planning.shapes import data_shape
from normbench.planning.stacks import split_stack

PROCESS_BYTES = 900e6  # the interpreter with torch and what it keeps ready, before any data


def stack_bytes(stack: Stack, data_dir: Path | None) -> float:
    """Return an estimate of the memory that a stack takes while it trains, its data included."""
    settings, count = stack.runs[0].settings, len(stack.runs)
    info = data_shape(settings.data, data_dir)
    cost = net_cost(settings.model, info.input_shape, info.classes)
    states = 3 + _optimizer_states(settings)  # the weights, their gradients, and the update being computed
    live = count if stack.executor in WHOLE_STACK else 1  # runs whose activations exist at the same time
    # A layer's output is kept twice in the forward pass (norm and activation work on copies) and twice in the
    # backward pass.
    numbers = count * (states * cost.parameters + 2 * cost.buffers)
    numbers += live * 4 * settings.data.batch_size * cost.activations
    pixels = math.prod(info.input_shape)
    data = (info.train + info.val + info.test) * pixels
    evaluated = (settings.train.eval_batch_size or EVAL_ROWS) * (pixels + cost.activations)
    return float(settings.train.itemsize * (numbers + data + evaluated))


def _optimizer_states(settings: Settings) -> int:
    """Return how many numbers the optimizer keeps for each parameter."""
    return len(settings.optimizer.state({"w": torch.zeros(1, 1)}))


def free_memory(device: str) -> float:
    """Return the bytes that a process could take on this device now, without swapping.

    mps shares the memory of the CPU.
    """
    if device == "cuda":
        return float(torch.cuda.mem_get_info()[0])
    import psutil  # lazily: a worker is told its room and asks nothing

    limits = [float(psutil.virtual_memory().available)]
    with contextlib.suppress(OSError, ValueError):  # a container's own limit; "max" means none
        limits.append(float(int(Path("/sys/fs/cgroup/memory.max").read_text())))
    return min(limits)


def divide_to_fit(
    stacks: Iterable[Stack], data_dir: Path | None, room: float
) -> tuple[tuple[Stack, ...], list[str]]:
    """Divide the stacks that would take more memory than there is room for.

    Stacks are halved, as the launchers halve one whose memory runs out. The records stay the same, except for
    the column `stack`. A single run that does not fit is not refused here: it fails when it trains.

    Args:
        stacks: to train, one at a time.
        data_dir: folder of the data sets.
        room: bytes for one stack with its data.

    Returns:
        The stacks, and a sentence for each kind of stack that was divided.
    """
    if math.isinf(room):
        return tuple(stacks), []
    fitting: list[Stack] = []
    divided: Counter[tuple[int, float, int]] = Counter()
    for stack in stacks:
        parts = _divide(stack, data_dir, room)
        fitting += parts
        if len(parts) > 1:
            needed = float(f"{stack_bytes(stack, data_dir):.1e}")
            divided[len(stack.runs), needed, len(parts)] += 1
    free = f"{max(room, 0.0) / 1e9:.2g} GB"
    return tuple(fitting), [
        f"{counted(count, 'stack')} of {counted(runs, 'run')} would take about "
        f"{needed / 1e9:.2g} GB of memory, but only {free} are free: trained in {parts} parts"
        for (runs, needed, parts), count in divided.items()
    ]


def _divide(stack: Stack, data_dir: Path | None, room: float) -> list[Stack]:
    if len(stack.runs) == 1 or stack_bytes(stack, data_dir) <= room:
        return [stack]
    return [part for half in split_stack(stack) for part in _divide(half, data_dir, room)]
