"""The bounds of the fuzz tests: any input gives a result or a `NormbenchError` within 5 s and 1 GiB."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from normbench.errors import NormbenchError

COUNTS: dict[str, Counter[str]] = {}  # for each kind of input: inputs, calls with a result, with an error
SECONDS = 5.0
BYTES = 1 << 30


class TookTooLongError(BaseException):
    """Raised inside code that hangs. It is not an `Exception`, so that normbench does not catch it."""


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """End the block with an error after 5 s of CPU time, or when the process uses more than 1 GiB.

    The time is CPU time, so that a test does not fail because another process uses the machine. The memory
    limit is that of the address space (RLIMIT_AS); an allocation beyond it raises MemoryError.
    """

    def too_long(number: int, frame: FrameType | None) -> None:
        raise TookTooLongError(f"more than {SECONDS} s of CPU time")

    before = signal.signal(signal.SIGPROF, too_long)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with _memory():
            yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextlib.contextmanager
def _memory() -> Iterator[None]:
    if sys.platform != "linux":  # other systems do not enforce the limit or do not tell the size
        yield
        return
    import resource

    pages, in_use, *_ = map(int, Path("/proc/self/statm").read_text().split())
    page = resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit = (pages - in_use) * page + max(BYTES, in_use * page + BYTES // 4)
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def note(kind: str) -> None:
    """Count an input of this kind; the calls that follow belong to it."""
    COUNTS[kind] = COUNTS.pop(kind, Counter())  # the current kind is the last one
    COUNTS[kind]["inputs"] += 1


def tried(act: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return the result of a call or the NormbenchError that it raises; any other error fails the test."""
    with bounded():
        try:
            found = act(*arguments, **options)
            COUNTS[next(reversed(COUNTS))]["results"] += 1
            return found
        except NormbenchError as error:
            sentence = error
    COUNTS[next(reversed(COUNTS))]["sentences"] += 1
    assert str(sentence).strip(), "an error that says nothing"
    return sentence
