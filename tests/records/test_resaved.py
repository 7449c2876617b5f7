"""Files that a spreadsheet, an editor or pandas saved again: read right or refused; nothing trained again."""

from __future__ import annotations

import csv
import io
import re

import pytest
from helpers.records_folder import CONFIG, run_all, tree

from normbench.errors import RecordsError
from normbench.records import ResultsFolder, read_metrics

NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")


def _lines(data, change):
    head, *rows = data.splitlines(keepends=True)
    return b"".join([head, *change(rows)])


def _cells(data, change, **options):
    head, *rows = csv.reader(io.StringIO(data.decode()))
    out = io.StringIO()
    writer = csv.writer(out, **options)
    writer.writerows([head, *([row[0], *map(change, row[1:])] for row in rows)])
    return out.getvalue().encode()


def _excel(cell):
    if not NUMBER.match(cell):
        return cell
    value = float(cell)
    if value.is_integer():
        return str(int(value))
    return f"{value:.15g}" if abs(value) > 1e-4 else f"{value:.5E}"


READ = {
    "reversed": lambda data: _lines(data, lambda rows: rows[::-1]),
    "sorted": lambda data: _lines(data, sorted),
    "by step": lambda data: _lines(data, lambda rows: sorted(rows, key=lambda row: row.split(b",")[1])),
    "quoted": lambda data: _cells(data, str, quoting=csv.QUOTE_ALL, lineterminator="\n"),
    "excel": lambda data: b"\xef\xbb\xbf" + _cells(data, _excel, lineterminator="\r\n"),
    "unended": lambda data: data.rstrip(b"\n"),
    "unended and quoted": lambda data: _cells(data, str, quoting=csv.QUOTE_ALL, lineterminator="\n").rstrip(),
}
REFUSED = {
    "semicolons": (lambda data: _cells(data, str, delimiter=";", lineterminator="\n"), "semicolons"),
    "decimal commas": (
        lambda data: _cells(data, lambda cell: cell.replace(".", ","), delimiter=";"),
        "semicolons",
    ),
    "tabs": (lambda data: data.replace(b",", b"\t"), "tabs"),
    "UTF-16": (lambda data: data.decode().encode("utf-16"), "UTF-16"),
    "column": (lambda data: data.replace(b"\n", b",mine\n"), "header"),
}


@pytest.mark.parametrize("names", [["metrics.csv"], ["runs.csv"], ["metrics.csv", "runs.csv"]])
@pytest.mark.parametrize("how", READ)
def test_a_file_saved_again_is_read_and_nothing_is_trained_again(root, plan, how, names):
    run_all(root, plan)
    before = read_metrics(root)
    for name in names:
        (root / name).write_bytes(READ[how]((root / name).read_bytes()))
    after = read_metrics(root)
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        assert folder.finished_ids() == {run.run_id for run in plan.runs}
        assert folder.warnings == []
    again = read_metrics(root)
    assert len(again) == len(after) == len(before)
    assert again["step"].tolist() == before["step"].tolist()
    assert again["test_loss"].tolist() == pytest.approx(before["test_loss"].tolist(), rel=1e-5, nan_ok=True)
    assert (after.groupby("run_id", observed=True)["step"].diff().dropna() > 0).all()


@pytest.mark.parametrize("name", ["metrics.csv", "runs.csv"])
@pytest.mark.parametrize("how", REFUSED)
def test_a_file_saved_in_another_form_is_refused_with_the_cause(root, plan, how, name):
    change, cause = REFUSED[how]
    run_all(root, plan)
    (root / name).write_bytes(change((root / name).read_bytes()))
    before = tree(root)
    with pytest.raises(RecordsError, match=cause) as error:
        run_all(root, plan)
    assert f"{name}:1:" in str(error.value)
    assert tree(root) == before


@pytest.mark.parametrize("gone", [[0], [1], [1, 2]])
def test_rows_missing_in_the_middle_are_named(root, plan, gone):
    run_all(root, plan)
    run_id = next(run.run_id for run in plan.runs if run.values["optimizer.lr"] < 100)
    lines = (root / "metrics.csv").read_bytes().splitlines(keepends=True)
    own = [row for row in lines if row.startswith(run_id.encode())]
    left = [row for row in lines if row not in [own[i] for i in gone]]
    (root / "metrics.csv").write_bytes(b"".join(left))
    before = tree(root)
    steps = ", ".join(str(10 * i) for i in gone)
    with pytest.raises(RecordsError, match=rf"rows of a finished run are missing: {run_id} \(step {steps}\)"):
        run_all(root, plan)
    assert tree(root) == before
