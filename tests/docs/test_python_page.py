"""The blocks of docs/python.md work one after the other, as they stand."""

import re
from pathlib import Path

import matplotlib
import pandas as pd
import pytest
from helpers.cells import execute
from helpers.scorecard import use_tiny

from normbench import plugins

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
# The card is that of small nets, by 6 seconds of the estimate in place of two minutes.
BLOCKS = [block.replace('budget="2m"', 'budget="6s"') for block in BLOCKS]


@pytest.mark.thorough
def test_the_blocks_work_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NORMBENCH_DATA", str(tmp_path / "data"))
    use_tiny(monkeypatch)
    with plugins.unchanged(), matplotlib.rc_context():
        page = execute(BLOCKS, "page_of_the_docs", monkeypatch)
    assert {one.name for one in (tmp_path / "results").iterdir()} == {
        *("from_python", "from_python_200_steps", "own_norm", "own_parts", "scorecard_my_norm_digits"),
    }
    for name, runs in (("from_python", 18), ("from_python_200_steps", 18), ("own_norm", 9), ("own_parts", 8)):
        frame = pd.read_csv(tmp_path / "results" / name / "runs.csv")
        assert list(frame["status"]) == ["finished"] * runs
    assert (tmp_path / "both.png").stat().st_size > 10_000
    assert page.results.curves["step"].max() == 60
    assert list(page.card.against) == ["none", "batchnorm"]
    assert set(page.rates.runs["model.norm"]) == {"my_norm", "none", "batchnorm"}
