"""A results folder of version 0.1, interrupted in its second stack, is read and continued."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers.cli import good

from normbench import api
from normbench.analysis.verify import verify
from normbench.records import folder_status

FROZEN = Path(__file__).parent / "frozen_0_1"


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(FROZEN / "frozen", tmp_path / "frozen")
    return tmp_path / "frozen"


def lines(folder, name):
    return (folder / name).read_bytes().splitlines(keepends=True)


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
    good("plot", folder)
    assert (folder / "plots" / "rate.png").stat().st_size > 0


def test_its_claim_is_judged(folder):
    (verdict,) = verify(folder).verdicts
    assert (verdict.verdict, verdict.n) == ("inconclusive", 0)
    assert "no run of 'of: batchnorm' has a result" in verdict.reason


def test_it_goes_on(folder):
    """From the checkpoint, or with the second stack from its beginning if torch is another version."""
    before = {name: lines(folder, name) for name in ("metrics.csv", "layers.csv", "runs.csv")}
    done = api.run(FROZEN / "frozen.yaml", results=folder.parent, device="cpu", threads=1)
    assert (done.trained, done.skipped, done.interrupted) == (4, 4, False)
    after = {name: lines(folder, name) for name in before}
    for name, old in before.items():
        finished = 5 if name == "runs.csv" else len(old)
        for new, line in zip(after[name][:finished], old[:finished], strict=True):
            assert new == line or (name == "runs.csv" and new.startswith(line.rstrip() + b","))  # `decided`
        assert len(after[name]) > finished
    tables = api.load(folder)
    assert set(tables.runs["status"]) == {"finished"}
    assert tables.metrics.groupby("run")["step"].apply(list).tolist() == [[0, 20, 40, 60]] * 8
    assert not (folder / "parts").exists()
    assert not (folder / "checkpoints").exists()
    (verdict,) = verify(folder).verdicts
    assert verdict.n == 2
    again = api.run(FROZEN / "frozen.yaml", results=folder.parent, device="cpu", threads=1)
    assert (again.trained, again.skipped) == (0, 8)
