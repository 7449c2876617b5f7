"""Figures go to files whatever backend a notebook or MPLBACKEND names, and leave it as it is."""

import subprocess
import sys

import matplotlib
import pytest

from normbench import plots

DRAW = """
import os, sys
from pathlib import Path
from normbench.plots import plot_results
folder, out = sys.argv[1:]
before = dict(os.environ)
files = plot_results(folder, ["largest_rate"], formats=["png", "pdf"], out=Path(out))
assert all(path.stat().st_size for path in files) and len(files) == 2
assert dict(os.environ) == before
assert "matplotlib.pyplot" not in sys.modules
import matplotlib
print(dict.__getitem__(matplotlib.rcParams, "backend"))
"""


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_none", "no such thing", "tkagg"])
def test_figures_are_drawn_whatever_mplbackend_names(small, tmp_path, backend, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", backend)
    command = [sys.executable, "-c", DRAW, str(small), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert backend != "tkagg" or done.stdout.strip() == "tkagg"  # the caller's own figures have it


def test_the_backend_that_a_notebook_uses_stays(small, tmp_path):
    with matplotlib.rc_context():
        matplotlib.rcParams["backend"] = "nbagg"
        plots.plot_results(small, ["largest_rate"], formats=["png"], out=tmp_path)
        assert dict.__getitem__(matplotlib.rcParams, "backend") == "nbagg"
        matplotlib.rcParams["backend"] = "agg"
