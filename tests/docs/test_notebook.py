"""docs/notebook.ipynb works: its cells one after the other, and in a real kernel where nbclient is there."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from helpers.cells import execute

from normbench import plugins

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def test_the_notebook_is_stored_without_outputs():
    assert [cell["outputs"] for cell in CELLS if cell["cell_type"] == "code" and cell["outputs"]] == []
    assert not any(cell.get("execution_count") for cell in CELLS)


def test_the_cells_work_one_after_the_other(tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    monkeypatch.chdir(tmp_path)
    plt.switch_backend("agg")
    cells = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]
    with plugins.unchanged():
        notebook = execute(cells, "notebook_of_the_docs", monkeypatch)
    plt.close("all")
    runs = notebook.results.runs
    assert len(runs) == 27
    assert set(runs["status"]) == {"finished"}
    assert list(notebook.results.verdicts["verdict"]) == ["supported"]
    assert len(notebook.figure.axes) == 2
    (kept,) = (tmp_path / "results" / "my_first_norm" / "plugins").rglob("my_norm.py")
    assert "class MyNorm(nn.Module):" in kept.read_text(encoding="utf-8")


def test_the_notebook_runs_in_a_kernel(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="the extra `notebook` is not installed")
    pytest.importorskip("ipykernel", reason="the extra `notebook` is not installed")
    nbformat = pytest.importorskip("nbformat")
    book = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(book)
    nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = {cell.id: cell.outputs for cell in book.cells if cell.cell_type == "code"}
    assert "<table>" in shown["plan"][-1]["data"]["text/html"]
    assert "100 % after" in "".join(out["data"]["text/plain"] for out in shown["run"] if "data" in out)
    assert "<table>" in shown["run"][-1]["data"]["text/html"]
    assert any("image/png" in out.get("data", {}) for out in shown["draw"])
    assert "supported" in shown["verify"][-1]["data"]["text/html"]
    runs = pd.read_csv(tmp_path / "results" / "my_first_norm" / "runs.csv")
    assert set(runs["status"]) == {"finished"}
