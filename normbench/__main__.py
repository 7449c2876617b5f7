"""The command line from its first moment: `python -m normbench` and the console script `normbench`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType

from normbench.errors import ExitCode

_IMPORT = "<frozen importlib._bootstrap>"  # the code of Python's import


def main() -> None:
    """Run the command line; Ctrl-C is answered from now on, while libraries are imported, too."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # it may be ignored
        signal.signal(signal.SIGINT, _interrupted)
    from normbench.cli import main as command_line

    try:
        command_line()
    except KeyboardInterrupt:  # before a command began, or after it ended
        _say()
        sys.exit(int(ExitCode.INTERRUPTED))


def _interrupted(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt; during an import, end the process.

    Some libraries catch the exception while they are imported and go on in pieces; torch then takes seconds
    to end, with an error of its own. Nothing is being written during an import.
    """
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT:
            with contextlib.suppress(Exception):  # what was printed so far
                sys.stdout.flush()
            _say()
            os._exit(int(ExitCode.INTERRUPTED))
        frame = frame.f_back
    raise KeyboardInterrupt


def _say() -> None:
    with contextlib.suppress(OSError):  # the terminal is gone
        os.write(2, b"interrupted\n")


if __name__ == "__main__":
    main()
