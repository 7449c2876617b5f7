"""Any input gives a result or a `NormbenchError`, within 5 s and 1 GiB: the bounds of all tests here."""

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

COUNTS: dict[str, Counter[str]] = {}  # of each kind of input: how many, and what became of the calls
SECONDS = 5.0
BYTES = 1 << 30


class TookTooLongError(BaseException):
    """Raised in the midst of what hangs; no `except Exception` of ours swallows it."""


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """End the block with an error after 5 s of its CPU time, or when the process passes 1 GiB.

    CPU time, since a test must not fail when another process has the machine. The memory limit is that of
    the address space (RLIMIT_AS), set so that what the process has in use may grow to 1 GiB and no further;
    what does not fit is a MemoryError.
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
    if sys.platform != "linux":  # elsewhere the limit is not kept, or the size is not told
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
    """Count an input of this kind; the calls that follow are tried on it."""
    COUNTS[kind] = COUNTS.pop(kind, Counter())  # the current kind stands last
    COUNTS[kind]["inputs"] += 1


def tried(act: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return what the call gives, or the NormbenchError that it raises; anything else fails the test."""
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
