"""Some kills and damages of benchmarks/torture_folders.py: three commands killed, each kind of damage."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.torture import KINDS, Damages

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "torture_folders.py"


@pytest.fixture(scope="module")
def damages(tmp_path_factory):
    return Damages(tmp_path_factory.mktemp("damages"))


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_folder_loses_nothing_and_touches_nothing(damages, seed):
    kind, answer = damages.try_one(seed, with_plot=False)
    assert kind == KINDS[seed % len(KINDS)].__name__
    assert answer in ("refused", "went on")


@pytest.mark.thorough
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_killed_command_goes_on_with_the_same_records():
    """In an own process, because a process that has trained must not be forked."""
    command = [sys.executable, str(SCRIPT), "--kills", "3", "--of", "3", "--damages", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout
