"""A results folder of each format, interrupted in its second stack, is read and continued.

That of version 0.2 (format 2) is in `tests/plugins`.
"""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from helpers.cli import good

from normbench import api
from normbench.analysis.verify import verify
from normbench.records import folder_status
from normbench.records.environment import FORMAT
from normbench.records.schema import INFERENCE

HERE = Path(__file__).parent
CONFIG = HERE / "frozen_0_1" / "frozen.yaml"
FORMATS = {"frozen_0_1": None, "frozen_0_3": FORMAT}


@pytest.fixture(params=FORMATS)
def folder(request, tmp_path):
    shutil.copytree(HERE / request.param / "frozen", tmp_path / "frozen")
    written = json.loads((tmp_path / "frozen" / "environment.json").read_text())
    assert written.get("format") == FORMATS[request.param], "freeze a folder of the new format, too"
    return tmp_path / "frozen"


def lines(folder, name):
    return (folder / name).read_bytes().splitlines(keepends=True)


def table(lines):
    return list(csv.DictReader([line.decode() for line in lines]))


def test_its_status_is_told(folder):
    status = folder_status(folder)
    assert (status.statuses["finished"], status.statuses["interrupted"], status.total) == (4, 4, 8)
    assert status.outcomes == {"trains": 2, "stuck": 2, "diverged": 0}
    assert status.seconds_left > 0
    assert status.holder is None
    assert status.warnings == []


def test_its_records_are_read(folder):
    tables = api.load(folder)
    assert tables.swept == ("model.norm", "optimizer.lr")
    assert tables.runs["status"].tolist() == ["finished"] * 4 + ["interrupted"] * 4
    assert tables.metrics.groupby("run")["step"].max().tolist() == [60] * 4 + [40] * 4
    assert set(tables.layers["quantity"]) >= {"weights.norm"}
    # the update of step 40, before which its layers are measured, was still to come
    assert tables.layers.groupby("run")["step"].max().tolist() == [60] * 4 + [20] * 4


def test_it_is_drawn(folder):
    good("plot", folder, "--figure", "rate", "--format", "png")
    assert (folder / "plots" / "rate.png").stat().st_size > 0


def test_its_claim_is_judged(folder):
    (verdict,) = verify(folder).verdicts
    assert (verdict.verdict, verdict.n) == ("inconclusive", 0)
    assert "no run of 'of: batchnorm' has a result" in verdict.reason


def test_it_goes_on(folder):
    """From the checkpoint, or with the second stack from its beginning if torch is another version."""
    before = {name: lines(folder, name) for name in ("metrics.csv", "layers.csv", "runs.csv")}
    done = api.run(CONFIG, results=folder.parent, device="cpu", threads=1)
    assert (done.trained, done.skipped, done.interrupted) == (4, 4, False)
    after = {name: lines(folder, name) for name in before}
    for name in ("metrics.csv", "layers.csv"):
        assert after[name][: len(before[name])] == before[name]
        assert len(after[name]) > len(before[name])
    for old, new in zip(table(before["runs.csv"])[:4], table(after["runs.csv"])[:4], strict=True):
        late = {name: new.pop(name) for name in new.keys() - old.keys()}
        assert new == old
        assert set(late) - {"decided"} == {column.name for column in INFERENCE}
        assert {cell for name, cell in late.items() if name != "decided"} == {""}
    tables = api.load(folder)
    assert set(tables.runs["status"]) == {"finished"}
    assert tables.metrics.groupby("run")["step"].apply(list).tolist() == [[0, 20, 40, 60]] * 8
    assert not (folder / "parts").exists()
    assert not (folder / "checkpoints").exists()
    (verdict,) = verify(folder).verdicts
    assert verdict.n == 2
    again = api.run(CONFIG, results=folder.parent, device="cpu", threads=1)
    assert (again.trained, again.skipped) == (0, 8)
