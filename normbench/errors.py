"""The errors that normbench raises for its users, and the exit codes of the command line.

The library raises a `NormbenchError`; only `normbench/cli.py` prints it and turns it into an exit code.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """What the command line ends with."""

    DONE = 0
    CRASHED = 1  # some runs crashed; the others are done
    USAGE = 2  # bad usage, config, data or results folder
    REFUTED = 3  # `verify`: a claim is refuted
    DIFFERENT = 4  # `compare`: the two results differ
    INTERRUPTED = 130


class NormbenchError(Exception):
    """Something that the user can mend; its text says what was found, what is allowed, and the mend."""

    exit_code = ExitCode.USAGE


class ConfigError(NormbenchError):
    """A config that cannot be used; the text holds one line for each problem."""


class PlanError(NormbenchError):
    """A combination that cannot be trained, with the reason."""


class DataError(NormbenchError):
    """Data that is absent, damaged, or laid out in another way than expected."""


class RecordsError(NormbenchError):
    """A results folder that cannot be read or written, or that another process holds."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return `did you mean 'x'? ` for the nearest of the choices, or an empty string."""
    near = difflib.get_close_matches(str(word), list(choices), n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'? " if near else ""


def one_of(choices: Iterable[object]) -> str:
    """Return `one of: a, b, c`, the way every message lists what is allowed."""
    return "one of: " + ", ".join(str(choice) for choice in choices)
