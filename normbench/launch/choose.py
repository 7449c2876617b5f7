"""Which launcher, how many workers and threads: a pure rule from the plan and the machine's cores.

The step of a small net has too little work in each operation for many threads, which then wait for each
other; several stacks side by side, of one thread each, have nothing to wait for. But workers take seconds to
start, and the last stacks leave some idle (docs/benchmarks.md), so they are for plans of many stacks and some
length. The rule takes the whole plan, not what is left of it, so that a sweep goes on as it began.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from normbench.errors import NormbenchError, did_you_mean, one_of
from normbench.names import LAUNCHERS
from normbench.planning.estimate import preview
from normbench.planning.plan import Plan

AUTO_SECONDS = 60.0  # estimated; below that, starting the workers takes longer than they spare
AUTO_STACKS = 2  # for each worker, at least


@dataclass(frozen=True)
class Cores:
    """How a plan is trained: `workers` is None in this process, `threads` None for torch's own choice."""

    workers: int | None
    threads: int | None


def choose_cores(plan: Plan, launcher: str, workers: int | None, threads: int | None) -> Cores:
    """Return how the cores are used, for a launcher of `LAUNCHERS`; what is None is chosen.

    `auto` takes processes on a CPU of several cores, for a plan of several stacks for each and some length,
    unless the number of threads is given or a probe takes times.

    Raises:
        NormbenchError: the launcher is unknown, or workers are asked for without processes.
    """
    if launcher not in LAUNCHERS:
        raise NormbenchError(
            f"--launcher: '{launcher}' is unknown; {did_you_mean(launcher, LAUNCHERS)}{one_of(LAUNCHERS)}"
        )
    if workers is not None and launcher == "local":
        raise NormbenchError("--workers: goes with --launcher processes")
    cores = available_cores()
    if launcher == "auto" and workers is None:
        most = min(cores, len(plan.stacks) // AUTO_STACKS)
        timed = any(probe.of_stack for probe in plan.experiment.probes)  # workers would disturb each other
        shared = plan.device == "cpu" and threads is None and most > 1 and not timed
        if not shared or preview(plan).seconds < AUTO_SECONDS:
            return Cores(None, threads)
        workers = most
    elif launcher == "local":
        return Cores(None, threads)
    workers = workers or max(1, min(cores // (threads or 1), len(plan.stacks)))
    return Cores(workers, threads or max(1, cores // workers))


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
