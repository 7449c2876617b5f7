"""Workers that wait for the next session. Starting new ones takes seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from normbench.launch.processes import (
        Worker,  # its module needs the engine, which a refused config does not
    )

_idle: list[Worker] = []
_blocks = 0  # of `workers_stay` around the present session


@contextmanager
def workers_stay() -> Iterator[None]:
    """Keep the workers of a session for the next ones in this block."""
    global _blocks
    _blocks += 1
    try:
        yield
    finally:
        _blocks -= 1
        while _idle and not _blocks:
            _idle.pop().close()


def leave(worker: Worker) -> None:
    """Let a worker wait if it can and a block asks for it; otherwise end it."""
    if _blocks and worker.is_idle:
        _idle.append(worker)
    else:
        worker.close()


def waiting(threads: int) -> Worker | None:
    """Return a worker that waits and is as a new one with these threads would be; end those that are not."""
    while _idle:
        worker = _idle.pop()
        if worker.is_like_new(threads):
            return worker
        worker.close()
    return None
