"""The streams of the command: any terminal and encoding, closed ones, those that end before the command."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TextIO


class _Patient(io.FileIO):
    """Writes to a file descriptor as long as it can: nobody may read what a training says any more."""

    def write(self, data: object) -> int:
        """Write the bytes; where they go nowhere, drop them."""
        with contextlib.suppress(OSError):
            return super().write(data) or 0  # type: ignore[arg-type]
        return len(memoryview(data))  # type: ignore[arg-type]


def prepare() -> None:
    """Make the standard streams of this process safe.

    A closed one becomes the null device, so that no file of ours takes its number. A character that the
    encoding lacks is written as an escape. What cannot be said on stderr is dropped and ends nothing.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdout = sys.stdout or _null()
    sys.stderr = sys.stderr or _null()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_errors(sys.stdout))
    if isinstance(sys.stderr, io.TextIOWrapper):
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
            raw = _Patient(sys.stderr.fileno(), "w", closefd=False)
            sys.stderr = io.TextIOWrapper(
                io.BufferedWriter(raw),
                encoding=sys.stderr.encoding,
                errors=_errors(sys.stderr),
                line_buffering=True,
                write_through=True,
            )


def _null() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")


def _errors(stream: TextIO) -> str:
    """Return how characters are written that the encoding lacks; file names of any bytes keep their bytes."""
    return "surrogateescape" if stream.encoding.lower().startswith("utf") else "backslashreplace"


def is_written(text: str) -> bool:
    """Return whether stdout can write this text as it is."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
