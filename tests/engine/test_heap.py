"""A process that trains keeps the memory that it frees, where its C library can."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

CODE = """
import resource, torch
from normbench.engine.heap import keep_freed_memory
torch.set_num_threads(1)
print(keep_freed_memory())
for _ in range(20):
    torch.ones(4 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(4 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
GLIBC = sys.platform == "linux" and platform.libc_ver()[0] == "glibc"


def kept_and_faults(**variables):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env=environment | variables,
    )
    kept, faults = done.stdout.split()
    return kept == "True", int(faults)


@pytest.mark.skipif(not GLIBC, reason="only glibc can keep memory")
def test_large_tensors_find_their_pages_again():
    kept, faults = kept_and_faults()
    assert kept
    assert faults < 1000  # 16 MiB ten times are 40,960 pages of 4 KiB


def test_a_user_who_set_the_c_library_has_decided():
    kept, _ = kept_and_faults(MALLOC_TRIM_THRESHOLD_="131072")
    assert not kept


def test_another_system_is_left_alone(monkeypatch):
    from normbench.engine import heap

    monkeypatch.setattr(heap.sys, "platform", "darwin")
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda name: pytest.fail("it asked for a library"))
    assert heap.keep_freed_memory.__wrapped__() is False
