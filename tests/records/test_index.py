"""The rows of each run are found wherever the blocks that are read begin and end."""

import random

import pytest

from normbench.errors import RecordsError
from normbench.records import index, schema
from normbench.records.index import OpenFiles, RowIndex
from normbench.records.schema import METRICS, line, problem

IDS = ["a", "ab", "ab0", "b" * 64, "c.d-e_f"]


def row(run_id, step):
    return line([run_id, str(step), *["0.5"] * (len(METRICS.columns) - 2)])


def found(path, unended_counts=False):
    files = OpenFiles()
    try:
        index = RowIndex(path, METRICS, files, unended_counts)
        return index, {run_id: index.rows(run_id) for run_id in index.run_ids()}
    finally:
        files.close()


@pytest.mark.parametrize("block", [1, 7, 64, 200, 1 << 20])
@pytest.mark.parametrize("end", ["", "torn", "unended"])
def test_rows_are_those_of_a_reader_of_single_lines(tmp_path, monkeypatch, block, end):
    monkeypatch.setattr(index, "_BLOCK", block)
    chosen = random.Random(block)
    lines, expected = [], {}
    for step in range(40):
        if not lines or chosen.random() < 0.3:
            run_id = chosen.choice(IDS)
        lines.append(row(run_id, step))
        expected.setdefault(run_id, []).append(str(step))
    last = {"": b"", "torn": row("a", 40)[:9], "unended": row("a", 40)[:-1]}[end]
    if end == "unended":
        expected.setdefault("a", []).append("40")
    path = tmp_path / "metrics.csv"
    path.write_bytes(line(METRICS.names) + b"".join(lines) + last)
    there, rows = found(path, unended_counts=True)
    assert {run_id: [cells[1] for cells in own] for run_id, own in rows.items()} == expected
    assert list(rows) == list(expected)
    assert there.counts == {run_id: len(own) for run_id, own in expected.items()}
    assert there.torn == (end == "torn")
    assert there.unended == ("a" if end == "unended" else None)


@pytest.mark.parametrize("block", [5, 1 << 20])
@pytest.mark.parametrize("ended", [True, False])
def test_a_line_that_is_too_long_is_named(tmp_path, monkeypatch, block, ended):
    monkeypatch.setattr(index, "_BLOCK", block)
    monkeypatch.setattr(index, "LONGEST_LINE", 300)
    path = tmp_path / "metrics.csv"
    path.write_bytes(line(METRICS.names) + row("a", 1) * 3 + b"a," + b"x" * 400 + b"\n" * ended)
    with pytest.raises(RecordsError, match=r"metrics.csv:5: a line of more than 300 bytes"):
        found(path)


@pytest.mark.parametrize("bad", [b"\n", b"no row\n", b"a b,1\n", b"\xff,1\n", b",,\n"])
def test_a_line_without_a_run_is_named(tmp_path, bad):
    path = tmp_path / "metrics.csv"
    path.write_bytes(line(METRICS.names) + row("a", 1) * 2 + bad + row("a", 2))
    with pytest.raises(RecordsError, match=r"metrics.csv:4: "):
        found(path)


NUMBERS = ["1", "-3", "1.0", "0.5", "1e-05", "1E5", "-inf", "nan", "inf", "NaN", "+1", "13.0", ".5", "5."]
OTHERS = ["", " 1", "1_0", "0x1", "\u0663", "-", "1,", '"1"', "1\r"]


@pytest.mark.parametrize("kind", ["int", "int?", "float"])
def test_what_is_usual_is_right(kind):
    """The quick look at a line never passes what the look at each cell refuses."""
    table = schema.Table("t", schema.columns(f"run_id:id value:{kind}"))
    for cell in NUMBERS + OTHERS:
        raw = f"a,{cell}\n".encode()
        if table.usual.fullmatch(raw):
            vars(table)["usual"] = schema.re.compile(b"(?!)")  # looks at each cell
            assert problem(table, raw) is None, cell
            del vars(table)["usual"]
    assert table.usual.fullmatch(b"a,1\n")
    assert not table.usual.fullmatch(b"a b,1\n")
