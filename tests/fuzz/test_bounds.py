"""The bounds of time and memory stop code that exceeds them."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from helpers.fuzz_bounds import BYTES, TookTooLongError, bounded, note, tried

from normbench.errors import ConfigError


def hang():
    while True:
        pass


def test_a_hang_is_stopped(monkeypatch):
    monkeypatch.setattr("helpers.fuzz_bounds.SECONDS", 0.05)
    with pytest.raises(TookTooLongError), bounded():
        hang()


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space as on Linux")
def test_memory_beyond_the_bound_is_refused_and_then_there_again():
    with pytest.raises(MemoryError), bounded():
        np.empty(BYTES + BYTES // 2, "int8")
    np.empty(BYTES + BYTES // 2, "int8")


def test_only_a_normbench_error_is_a_sentence(monkeypatch):
    monkeypatch.setattr("helpers.fuzz_bounds.COUNTS", {})

    def fail(error):
        raise error

    note("a")

    assert str(tried(fail, ConfigError("a.yaml: x"))) == "a.yaml: x"
    with pytest.raises(ValueError, match="ours"):
        tried(fail, ValueError("ours"))
