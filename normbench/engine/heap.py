"""Keeps the memory of freed tensors in the process, so that the next step finds it there.

The C library otherwise returns each large tensor to the system when it is freed, and the system clears the
pages of the next one: with 2 x 256 units and Adam, an eighth of the time (docs/benchmarks.md).
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import sys

# glibc's numbers of these settings in <malloc.h>, with values in bytes
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_SETTINGS = ((_MMAP_THRESHOLD, 1 << 30), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 64 << 20))


@functools.cache
def keep_freed_memory() -> bool:
    """Keep what this process frees from now on; return whether its C library does so.

    Only glibc can. A user who set one of its variables (`MALLOC_TRIM_THRESHOLD_`) has decided.
    """
    decided = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    if decided or sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    taken = [library.mallopt(setting, value) for setting, value in _SETTINGS]
    return taken == [1, 1, 1]


def give_back_memory() -> None:
    """Return to the system what was kept; the settings stay."""
    if keep_freed_memory():
        ctypes.CDLL(None).malloc_trim(0)
