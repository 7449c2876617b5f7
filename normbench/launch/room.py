"""Fits torch's threads to the cores that other processes leave free.

Two threads meet after each operation, and the first one to arrive waits by spinning. If another process takes
the core of the second one, both wait for the scheduler, operation after operation: one thread is then several
times faster (benchmarks/busy.py). Where cores are free, more threads are faster.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import psutil
import torch

from normbench.names import WHOLE_STACK

SECONDS = 2.0  # between two looks
FIRST = 0.2  # seconds until the first look
NOT_BUSY = ("idle", "iowait", "guest", "guest_nice")  # guests are counted as users, too
SETTINGS = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


@dataclass(frozen=True)
class Times:
    """Seconds since some start: on the clock, of all busy cores, and of this process."""

    clock: float
    busy: float
    own: float

    @staticmethod
    def now() -> Times:
        """Return the times of this moment."""
        cores, own = psutil.cpu_times()._asdict(), os.times()
        busy = sum(seconds for name, seconds in cores.items() if name not in NOT_BUSY)
        return Times(time.monotonic(), busy, own.user + own.system)


class Room:
    """Looks at the load of the machine and sets the number of threads.

    Only stacks that run as one program change their number. They have the same bits with any
    (tests/engine/test_bits.py, test_compiled.py); the kernels of convolutions add up in another order.
    """

    def __init__(self) -> None:
        self.most = torch.get_num_threads()
        self.cores = psutil.cpu_count() or 1
        self._free = self.most
        self.begin()

    def begin(self) -> None:
        """Forget the load so far; look again soon."""
        self._before, self._wait = Times.now(), FIRST

    def fit(self, executor: str) -> int:
        """Set the number of threads for a stack of this executor, and return it."""
        now = Times.now()
        if (seconds := now.clock - self._before.clock) >= self._wait:
            others = (now.busy - self._before.busy) - (now.own - self._before.own)
            self._free = max(1, min(self.most, round(self.cores - others / seconds)))
            self._before, self._wait = now, SECONDS
        threads = self._free if executor in WHOLE_STACK else self.most
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        return threads


def user_has_chosen() -> bool:
    """Return whether the environment says how torch's threads work."""
    return any(name in os.environ for name in SETTINGS)
