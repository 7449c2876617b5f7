"""What a session leaves beside its records is ignored by git, also in the book; the records are not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from normbench.launch import checkpoints
from normbench.records import lock, orphans, parts, sources
from normbench.records.files import TEMPORARY

ROOT = Path(__file__).parents[2]
LEFT = [
    f"{parts.FOLDER}/0a.metrics.csv",
    f"{parts.CRASHES}/0a.txt",
    f"{checkpoints.FOLDER}/0a.pt",
    f"{orphans.OLD}/1/runs.csv",
    lock.NAME,
    lock._LOCKED,
    f"runs.csv{TEMPORARY}",
]
COMMITTED = [
    *("runs.csv", "metrics.csv", "layers.csv", "claims.csv", "looks.csv", "config.yaml", "environment.json"),
    *("plots/claims.png", f"{sources.FOLDER}/my_norm.py"),
]


@pytest.mark.parametrize("folder", ["results/x", "results/claims/x"])
def test_leftovers_are_ignored_and_records_are_not(folder, tmp_path):
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    git = ["git", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "--quiet"], check=True)
    shutil.copy(ROOT / ".gitignore", tmp_path)
    names = "\n".join(f"{folder}/{name}" for name in (*LEFT, *COMMITTED))
    command = [*git, "check-ignore", "--stdin"]
    done = subprocess.run(command, input=names, capture_output=True, text=True, encoding="utf-8")
    assert done.stdout.splitlines() == [f"{folder}/{name}" for name in LEFT], done.stderr
