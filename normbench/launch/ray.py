"""Trains the stacks of a plan on a Ray cluster: the one at an address, or one of this machine alone.

This process, the driver, asks Ray for workers (actors, `ray_worker.py`), each with its share of CPUs or GPUs.
A worker trains one stack after the other and is given back when no stack is left (`ray_crew.py`). Data sets
go into Ray's object store once. Messages come back to the driver, which alone writes, checkpoints included.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

import ray

from normbench.cores import available_cores
from normbench.data import images_of, load
from normbench.errors import NormbenchError
from normbench.launch.choose import Wanted
from normbench.launch.messages import Assignment
from normbench.launch.ray_crew import Crew
from normbench.launch.ray_worker import Images, Setup, Software
from normbench.launch.recorder import Recorder
from normbench.launch.stop import signals_blocked, stop_signals
from normbench.planning.plan import Plan
from normbench.planning.runs import Stack
from normbench.plugins import loaded

CONNECT_SECONDS = 10.0  # to the head of a cluster
MOST_SETS = 8  # data sets in the object store at the same time


class Ray:
    """The launcher; its connection lasts from the first stack to `close`.

    Args:
        plan: to train.
        wanted: what the user asked for.

    Raises:
        NormbenchError: the shares of a stack do not suit the plan or this machine.
    """

    def __init__(self, plan: Plan, wanted: Wanted) -> None:
        if plan.device not in ("cpu", "cuda"):
            raise NormbenchError(f"--device: Ray shares out CPUs and CUDA devices, not {plan.device}")
        if wanted.address is not None and wanted.address.startswith("ray://"):
            raise NormbenchError(
                f"--address: found '{wanted.address}'; a process of the cluster writes the records, so start "
                "the command on one of its nodes (--address auto), or with `ray job submit`"
            )
        self.share = _share(wanted, plan.device)
        self.threads = wanted.threads or max(1, int(self.share["num_cpus"]))
        self._most, self._address, self._device = wanted.workers, wanted.address, plan.device
        room = available_cores() / self.share["num_cpus"]
        if plan.device == "cuda":  # the memory of one GPU
            room = 1 / self.share["num_gpus"]
        self.workers = max(1, min(int(room), wanted.workers or len(plan.stacks) or 1))
        self._is_ours = False  # whether the connection is
        self._sets: OrderedDict[Hashable, Any] = OrderedDict()

    def train(self, recorder: Recorder, stacks: Sequence[Stack], should_stop: Callable[[], bool]) -> None:
        """Train the stacks until all are done or `should_stop` returns true; see `choose.Launcher`.

        Raises:
            NormbenchError: the cluster cannot be reached, or a worker cannot train as this process would.
        """
        if not ray.is_initialized():
            _connect(self._address, self.share)
            self._is_ours = True
        setup = Setup(Software.here(), self._device, self.threads, loaded())
        Crew(self.share, setup, self._images, self._most, recorder, stacks).train(should_stop)

    def close(self) -> None:
        """Give the data sets back, and end the connection; with it ends a cluster that it started."""
        self._sets.clear()
        if self._is_ours:
            self._is_ours = False
            ray.shutdown()

    def _images(self, stack: Stack, assignment: Assignment) -> Any:
        """Return the reference of a stack's data set, which is sent to each node once."""
        settings = stack.runs[0].settings
        data, dtype = settings.data.for_seed(stack.runs[0].seed), settings.train.torch_dtype
        key = images_of(data).model_dump_json(), str(dtype)
        if key not in self._sets:
            dataset = load(data, assignment.data_dir, dtype=dtype, device="cpu")
            self._sets[key] = ray.put(Images.of(key, dataset))
        self._sets.move_to_end(key)
        while len(self._sets) > MOST_SETS:  # a worker that uses it has its copy
            self._sets.popitem(last=False)
        return self._sets[key]


def _share(wanted: Wanted, device: str) -> dict[str, float]:
    """Return the resources of a stack, by the names of Ray's options."""
    cpus, gpus = wanted.cpus_per_stack, wanted.gpus_per_stack
    if cpus is None:
        cpus = float(wanted.threads or 1)
    if gpus is None:
        gpus = 1.0 if device == "cuda" else 0.0
    if not (math.isfinite(cpus) and cpus >= 0.001):
        raise NormbenchError(f"--cpus-per-stack: found {cpus:g}; allowed: 0.001 or more, such as 0.5 or 4")
    if not (math.isfinite(gpus) and (gpus == 0 or 0.001 <= gpus <= 1 or (gpus > 1 and gpus % 1 == 0))):
        raise NormbenchError(f"--gpus-per-stack: found {gpus:g}; allowed: a fraction up to 1, or whole GPUs")
    if device == "cpu" and gpus:
        raise NormbenchError(
            "--gpus-per-stack: the plan trains on the CPU; leave it out, or add --device cuda"
        )
    if device == "cuda" and not gpus:
        raise NormbenchError("--gpus-per-stack: found 0, but the plan trains on a GPU; add --device cpu")
    return {"num_cpus": cpus, "num_gpus": gpus}


def _connect(address: str | None, share: Mapping[str, float]) -> None:
    """Connect this process to a cluster, or to a new one of this machine, without Ray's own messages."""
    options: dict[str, Any] = {"address": address}
    if address is None:
        cores = available_cores()
        if share["num_cpus"] > cores:
            raise NormbenchError(
                f"--cpus-per-stack: found {share['num_cpus']:g}, but this machine has {cores}; --address "
                "names a cluster with larger ones"
            )
        options = {"address": "local", "num_cpus": cores, "include_dashboard": False}
    else:
        _refuse_if_nobody_listens(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported unless the user wants it
    kept = set(stop_signals()) - {signal.SIGTERM}  # by SIGTERM Ray ends its own processes
    try:
        with _own_handlers(), signals_blocked(kept):
            ray.init(**options, log_to_driver=False, logging_level="error")
    except Exception as error:  # of a dozen types, where a machine is too busy also a plain one
        what = "a Ray cluster cannot be started here" if address is None else f"no Ray cluster at '{address}'"
        raise NormbenchError(f"--address: {what}: {' '.join(str(error).split())}") from None
    ray._private.worker._worker_logs_enabled = False  # it prints the ends of nodes to stdout, beside --json


def _refuse_if_nobody_listens(address: str) -> None:
    """Raise a `NormbenchError` if nothing listens at `host:port`; Ray tries for more than five minutes."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdigit()):
        return  # `auto`: Ray looks for a cluster that this machine belongs to
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise NormbenchError(
            f"--address: no Ray cluster at '{address}': {error}; `ray start --head` on its first machine "
            "prints the address"
        ) from None


@contextlib.contextmanager
def _own_handlers() -> Iterator[None]:
    """Put the handlers of signals back: Ray lets SIGTERM end the process, which loses the last steps."""
    before = {number: signal.getsignal(number) for number in stop_signals()}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                if handler is not None:
                    signal.signal(number, handler)
