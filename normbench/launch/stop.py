"""Ctrl-C and its kin: the first one ends the training with everything written, the second ends at once.

SIGUSR1 is the exception: it never ends at once, and another signal after it counts as the first. A scheduler
sends it ahead of the end of the time, sometimes together with a SIGTERM.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# A closed terminal sends SIGHUP, Ctrl-Break on Windows SIGBREAK, and Slurm what its option --signal names, by
# custom SIGUSR1; each system has some of these.
NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK", "SIGUSR1")
_POLITE = getattr(signal, "SIGUSR1", None)


def stop_signals() -> tuple[int, ...]:
    """Return the signals of this system that ask a program to end."""
    return tuple(int(getattr(signal, name)) for name in NAMES if hasattr(signal, name))


@contextmanager
def signals_blocked(numbers: Iterable[int]) -> Iterator[None]:
    """Let a process that starts in the block never see these signals; this one gets them afterwards.

    A worker imports for seconds before it can ignore them itself. Windows has no such mask.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class StopFlag:
    """A context in which the signals end the training in order; call it to ask whether to stop.

    Until it is called for the first time nothing is in training, and a signal raises `KeyboardInterrupt`.
    From then on, the first signal sets the flag and the second raises.

    Args:
        heard: called in the signal's handler when the flag is set.
        only_default: leave a signal alone that the program handles itself.
    """

    def __init__(self, heard: Callable[[], object] = lambda: None, *, only_default: bool = False) -> None:
        self.number: int | None = None  # the signal that set the flag
        self._heard, self._only_default = heard, only_default
        self._training = False
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Return whether the training should end."""
        self._training = True
        return self.number is not None

    def __enter__(self) -> StopFlag:
        for number in stop_signals():
            before = signal.getsignal(number)
            ignored = before is signal.SIG_IGN and number != signal.SIGINT  # by nohup, for example
            own = self._only_default and before not in (signal.SIG_DFL, signal.default_int_handler)
            if ignored or own:
                continue
            try:
                signal.signal(number, self._hear)
            except ValueError:  # not the main thread: the caller handles signals
                break
            self._before[number] = before
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before = {}

    def _hear(self, number: int, frame: FrameType | None) -> None:
        heard_before = self.number not in (None, _POLITE)
        if not self._training or (heard_before and number != _POLITE):
            raise KeyboardInterrupt
        if not heard_before:
            self.number = number
            self._heard()
