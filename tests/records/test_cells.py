"""Values are written as cells and read back; no text becomes a formula."""

from __future__ import annotations

import math

import numpy as np
from helpers.records_folder import CONFIG, make_plan, plan_of
from hypothesis import given
from hypothesis import strategies as st

from normbench.planning.runs import RunSpec
from normbench.records import (
    ResultsFolder,
    format_cell,
    format_float,
    read_runs,
    write_csv,
)
from normbench.records.schema import cells_of, line, text_value


@given(st.floats(width=32))
def test_float32_comes_back_from_its_shortest_text(value):
    text = format_float(value, "float32")
    assert np.float32(float(text)) == np.float32(value) or math.isnan(value)
    assert len(text) <= 19  # numpy 1 writes -1e+15 with all its zeros


@given(st.floats())
def test_float64_comes_back_from_its_text(value):
    assert float(format_float(value)) == value or math.isnan(value)


def test_floats_are_short():
    assert format_float(float(np.float32(0.1)), "float32") == "0.1"
    assert format_float(float(np.float32(1e-5)), "float32") == "1e-05"
    assert format_float(math.inf, "float32") == "inf"
    assert format_float(math.nan) == "nan"
    assert format_float(None) == ""
    assert format_float(1e300, "float32") == "1e+300"


@given(st.text(max_size=20))
def test_no_text_becomes_a_formula_and_all_come_back(text):
    cell = format_cell(text)
    assert cell[:1] not in tuple("=+-@\t\r")
    assert cells_of(line(["x", cell])) == ["x", cell]
    if not set(text) & set("\r\n\0"):
        assert text_value(cell) == text


def test_swept_values_come_back_with_their_types(root):
    values = [
        {"a": "=1+2", "b": 1, "c": True, "d": 0.5, "e": "none", "f,g": 'x,"y"'},
        {"a": "-5", "b": 2, "c": False, "d": None, "e": "nan", "f,g": None},
    ]
    first = make_plan().runs[0]
    runs = [RunSpec(f"{i:012x}", i, first.settings, value) for i, value in enumerate(values)]
    plan = plan_of(runs, columns=values[0])
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
    frame = read_runs(root)
    assert frame["a"].tolist() == ["=1+2", "-5"]
    assert frame["b"].dtype == "int64"
    assert frame["c"].tolist() == ["true", "false"]
    assert frame["d"][0] == 0.5
    assert math.isnan(frame["d"][1])
    assert frame["e"].tolist() == ["none", "nan"]
    assert frame["f,g"].tolist() == ['x,"y"', None]
    assert set(frame["status"]) == {"pending"}
    assert "'=1+2" in (root / "runs.csv").read_text()


def test_write_csv_is_safe_for_spreadsheets(tmp_path):
    write_csv(tmp_path / "claims.csv", ["id", "estimate"], [["@evil", -1.5], ["two\nlines, one", None]])
    assert (tmp_path / "claims.csv").read_text() == 'id,estimate\n\'@evil,-1.5\n"two lines, one",\n'
