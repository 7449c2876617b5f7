"""The errors that normbench raises for its users, and the exit codes of the command line.

The library raises a `NormbenchError`; only the package `normbench.cli` prints it and sets the exit code.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of the command line."""

    DONE = 0
    CRASHED = 1  # some runs crashed; the others are finished
    USAGE = 2  # bad usage, config, data or results folder
    REFUTED = 3  # `verify`: a claim is refuted
    DIFFERENT = 4  # `compare`: the two results differ
    INTERRUPTED = 130


class NormbenchError(Exception):
    """An error that the user can fix. Its text says what was found, what is allowed and how to fix it."""

    exit_code = ExitCode.USAGE


class ConfigError(NormbenchError):
    """A config with problems; the text has one line per problem."""


class PlanError(NormbenchError):
    """A combination of options that cannot be trained, with the reason."""


class DataError(NormbenchError):
    """Data that is missing, damaged or not laid out as expected."""


class RecordsError(NormbenchError):
    """A results folder that cannot be read or written, or that another process has locked."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return `did you mean 'x'? ` with the closest choice, or an empty string."""
    near = difflib.get_close_matches(str(word), list(choices), n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'? " if near else ""


def one_of(choices: Iterable[object]) -> str:
    """Return `one of: a, b, c`, the form in which all messages list what is allowed."""
    return "one of: " + ", ".join(str(choice) for choice in choices)
