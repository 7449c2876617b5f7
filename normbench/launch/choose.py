"""Chooses launcher, workers and threads, by a pure rule from the plan and the machine's cores.

In a step of a small net, each operation is too small for many threads, which then wait for each other.
Several stacks side by side, with one thread each, have nothing to wait for. But workers take seconds to
start, and the last stacks leave some of them idle (docs/benchmarks.md), so they suit long plans of many
stacks. The rule looks at the whole plan, not at what is left of it, so that a sweep continues as it began.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from normbench.cores import available_cores
from normbench.errors import NormbenchError, did_you_mean, one_of
from normbench.launch.local import Local
from normbench.launch.processes import Processes
from normbench.launch.recorder import Recorder
from normbench.launch.room import user_has_chosen
from normbench.names import LAUNCHERS
from normbench.planning.estimate import estimate
from normbench.planning.plan import Plan
from normbench.planning.runs import Stack

AUTO_SECONDS = 60.0  # of estimated training; starting workers for less takes longer than they save
AUTO_STACKS = 2  # for each worker, at least


@dataclass(frozen=True)
class Wanted:
    """Where a user wants the stacks to be trained; `api.run` documents each of these."""

    launcher: str = "local"
    workers: int | None = None
    threads: int | None = None
    address: str | None = None
    cpus_per_stack: float | None = None
    gpus_per_stack: float | None = None


class Launcher(Protocol):
    """Trains stacks somewhere, and gives what happens to the recorder of a session."""

    @property
    def workers(self) -> int:
        """Return how many stacks train at the same time and share the memory of a machine."""

    @property
    def threads(self) -> int | None:
        """Return the number of torch's threads for each stack; None for torch's own choice."""

    def train(self, recorder: Recorder, stacks: Sequence[Stack], should_stop: Callable[[], bool]) -> None:
        """Train the stacks until all are done or `should_stop` returns true.

        A session calls it once for each round of stacks.

        Args:
            recorder: its `begin` says what a stack needs; its `handle` takes the messages of `train_stack`,
                and returns the stacks to train next.
            stacks: to train.
            should_stop: asked at least twice a second while it waits, and after each chunk of steps in this
                process; if it returns true, all stacks in training make a checkpoint and end.
        """

    def close(self) -> None:
        """End what the launcher holds; called once, at the end of the session."""


@dataclass(frozen=True)
class Cores:
    """How the cores are used.

    Attributes:
        workers: number of worker processes; None to train in this process.
        threads: of torch in each process; None for torch's own choice.
    """

    workers: int | None
    threads: int | None


def choose_launcher(plan: Plan, wanted: Wanted) -> Launcher:
    """Return the launcher that a user asked for, or that the plan suits.

    Raises:
        NormbenchError: the launcher is unknown, or an option does not go with it.
    """
    if wanted.launcher == "ray":
        try:
            from normbench.launch.ray import Ray  # only here: nothing else needs Ray
        except ImportError as error:
            raise NormbenchError(
                f"--launcher ray: Ray cannot be imported ({error}); pip install 'normbench[ray]'"
            ) from None
        return Ray(plan, wanted)
    for option in ("address", "cpus_per_stack", "gpus_per_stack"):
        if getattr(wanted, option) is not None:
            raise NormbenchError(f"--{option.replace('_', '-')}: goes with --launcher ray")
    cores = choose_cores(plan, wanted.launcher, wanted.workers, wanted.threads)
    if cores.workers is not None and cores.threads is not None:
        return Processes(cores.workers, cores.threads)
    chosen = cores.threads is not None or user_has_chosen()
    return Local(cores.threads, fitting=plan.device == "cpu" and not chosen and not _is_timed(plan))


def _is_timed(plan: Plan) -> bool:
    """Return whether a probe measures time, so that nothing may change or disturb it."""
    return any(probe.of_stack for probe in plan.experiment.probes)


def choose_cores(plan: Plan, launcher: str, workers: int | None, threads: int | None) -> Cores:
    """Return how the cores are used.

    `auto` takes processes if the plan trains on a CPU with several cores, has several stacks for each worker
    and is long. It trains in this process if the number of threads is given or a probe measures time.

    Args:
        plan: to train.
        launcher: one of `LAUNCHERS` that trains on this machine.
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
        raise NormbenchError("--workers: goes with --launcher processes or ray")
    cores = available_cores()
    if launcher == "auto" and workers is None:
        most = min(cores, len(plan.stacks) // AUTO_STACKS)
        suited = plan.device == "cpu" and threads is None and most > 1 and not _is_timed(plan)
        if not suited or estimate(plan).seconds < AUTO_SECONDS:
            return Cores(None, threads)
        workers = most
    elif launcher == "local":
        return Cores(None, threads)
    workers = workers or max(1, min(cores // (threads or 1), len(plan.stacks)))
    return Cores(workers, threads or max(1, cores // workers))
