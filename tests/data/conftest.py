"""Data sets that a test registers go when it ends."""

import pytest

from normbench.data import DATASETS
from normbench.data.loading import clear
from normbench.registry import restored


@pytest.fixture
def own_sets():
    with restored(DATASETS.entries):
        yield
    clear()
