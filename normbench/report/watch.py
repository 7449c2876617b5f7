"""Tells when a page is to be written again: while a process trains one of its experiments."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from normbench.records.environment import FILE
from normbench.records.lock import holder_of
from normbench.records.parts import FOLDER

LOOK = 2.0  # seconds between two looks
GRACE = 6.0  # seconds without a trainer after which a sweep has ended; the next experiment may just begin
REST = 9.0  # times as long as a page took, no other one is made: training needs the processor


def changes(
    folders: Callable[[], Sequence[Path]],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[list[Path]]:
    """Yield the folders, again when their records have changed; end when no process trains them any more.

    The caller writes the page in between. What the end of the sweep changed is left to the caller.

    Args:
        folders: returns the experiments, which may become more.
        sleep: waits for some seconds.
        clock: returns the time in seconds.
    """
    before: object = None
    due = clock()
    idle = 0.0
    while idle < GRACE:
        found = list(folders())
        now = [_state(folder) for folder in found]
        if now != before and clock() >= due:
            before, begun = now, clock()
            yield found
            due = clock() + REST * (clock() - begun)
        idle = 0.0 if any(holder_of(folder) for folder in found) else idle + LOOK
        if idle < GRACE:
            sleep(LOOK)


def _state(folder: Path) -> tuple[str, list[tuple[str, int, int]]]:
    """Return what changes when records are written: names, sizes and times of the files."""
    paths = [folder / name for name in ("config.yaml", "runs.csv", "metrics.csv", "layers.csv", FILE)]
    if (parts := folder / FOLDER).is_dir():
        paths += sorted(parts.iterdir())
    found = []
    for path in paths:
        try:
            stat = path.stat()
        except OSError:  # it was merged, or is not there yet
            continue
        found.append((path.name, stat.st_size, stat.st_mtime_ns))
    return str(folder), found
