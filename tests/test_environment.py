"""What `import normbench` sets for the libraries below torch, and that a user's own setting wins."""

from __future__ import annotations

import importlib
import os

import pytest

import normbench


@pytest.mark.parametrize(
    ("given", "spin"),
    [
        ({}, "1000"),
        ({"GOMP_SPINCOUNT": "5"}, "5"),
        ({"OMP_WAIT_POLICY": "active"}, None),
        ({"OMP_WAIT_POLICY": "active", "GOMP_SPINCOUNT": "infinity"}, "infinity"),
    ],
)
def test_threads_spin_for_a_short_time_unless_the_user_says_how(monkeypatch, given, spin):
    environ = dict(given)
    monkeypatch.setattr(os, "environ", environ)
    importlib.reload(normbench)
    assert environ.get("GOMP_SPINCOUNT") == spin
