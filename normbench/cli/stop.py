"""Ctrl-C and SIGTERM during training: the first one stops it and writes records, the second ends at once."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
TEXT = "stopping: writing what is measured so far (once more ends at once)\n"


class StopFlag:
    """A context in which the two signals set a flag; call it to ask whether to stop."""

    def __init__(self) -> None:
        self.set = False
        self._before: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        """Return whether the training should end."""
        return self.set

    def __enter__(self) -> StopFlag:
        try:
            for number in SIGNALS:
                self._before[number] = signal.signal(number, self._hear)
        except ValueError:  # not the main thread, as in a notebook: the caller handles signals
            self._before = {}
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.set:
            raise KeyboardInterrupt
        self.set = True
        sys.stderr.write(TEXT)
