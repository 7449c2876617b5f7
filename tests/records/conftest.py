"""The fixtures of the records' tests."""

from __future__ import annotations

import pytest
from helpers.records_folder import make_plan, merged, run_all


@pytest.fixture
def root(tmp_path):
    return tmp_path / "results" / "x"


@pytest.fixture
def plan():
    return make_plan()


@pytest.fixture
def expected(tmp_path, plan):
    """The merged files of an undisturbed run."""
    run_all(tmp_path / "undisturbed", plan)
    return merged(tmp_path / "undisturbed")
