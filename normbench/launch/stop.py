"""Ctrl-C and its kin: the first one ends the training with everything written, the second ends at once."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

# A closed terminal sends SIGHUP, and Ctrl-Break on Windows SIGBREAK; each system has some of these.
NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


def stop_signals() -> tuple[int, ...]:
    """Return the signals of this system that ask a program to end."""
    return tuple(int(getattr(signal, name)) for name in NAMES if hasattr(signal, name))


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
        if self.number is not None or not self._training:
            raise KeyboardInterrupt
        self.number = number
        self._heard()
