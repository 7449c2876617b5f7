"""Small nets gain nothing from a second thread, and on a busy machine two threads wait for each other."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

TESTS = Path(__file__).parents[1]
sys.path += [str(TESTS), str(TESTS / "engine"), str(TESTS / "launch")]  # for their helpers


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
