"""Chooses launcher, workers and threads, by a pure rule from the plan and the machine's cores.

In a step of a small net, each operation is too small for many threads, which then wait for each other.
Several stacks side by side, with one thread each, have nothing to wait for. But workers take seconds to
start, and the last stacks leave some of them idle (docs/benchmarks.md), so they suit long plans of many
stacks. The rule looks at the whole plan, not at what is left of it, so that a sweep continues as it began.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from normbench.errors import NormbenchError, did_you_mean, one_of
from normbench.names import LAUNCHERS
from normbench.planning.estimate import estimate
from normbench.planning.plan import Plan

AUTO_SECONDS = 60.0  # of estimated training; starting workers for less takes longer than they save
AUTO_STACKS = 2  # for each worker, at least


@dataclass(frozen=True)
class Cores:
    """How the cores are used.

    Attributes:
        workers: number of worker processes; None to train in this process.
        threads: of torch in each process; None for torch's own choice.
    """

    workers: int | None
    threads: int | None


def choose_cores(plan: Plan, launcher: str, workers: int | None, threads: int | None) -> Cores:
    """Return how the cores are used.

    `auto` takes processes if the plan trains on a CPU with several cores, has several stacks for each worker
    and is long. It trains in this process if the number of threads is given or a probe measures time.

    Args:
        plan: to train.
        launcher: one of `LAUNCHERS`.
        workers: number of processes; None to choose.
        threads: of torch in each process; None to choose.

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
        suited = plan.device == "cpu" and threads is None and most > 1 and not timed
        if not suited or estimate(plan).seconds < AUTO_SECONDS:
            return Cores(None, threads)
        workers = most
    elif launcher == "local":
        return Cores(None, threads)
    workers = workers or max(1, min(cores // (threads or 1), len(plan.stacks)))
    return Cores(workers, threads or max(1, cores // workers))


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
