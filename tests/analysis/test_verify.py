"""`normbench verify` on small files: what it prints, writes and ends with, what it says is missing."""

import csv
import json
import subprocess
import sys

import pytest
from helpers.results import claim, rate_runs, write
from typer.testing import CliRunner

from normbench.analysis.verify import COLUMNS, verify
from normbench.cli import app
from normbench.errors import RecordsError

RATES = [0.01, 0.1, 1, 10, 100]
EXPECT = {"ratio_at_least": 3}
LARGER = claim("max_stable_lr", id="C2", expect=EXPECT, source="somewhere")
SMALLER = claim(
    "max_stable_lr", {"model.norm": "none"}, {"model.norm": "batchnorm"}, id="C2-x", expect=EXPECT
)


def call(*args):
    return CliRunner().invoke(app, ["verify", *map(str, args)], prog_name="normbench")


def results(folder, *claims, seeds=8, **more):
    curve = {step: 0.1 + step / 2000 for step in range(0, 1001, 100)}
    runs = []
    for norm, outcomes in (("batchnorm", "TTTTS"), ("none", "TSSSD")):
        for seed in range(seeds):
            runs += rate_runs({"model.norm": norm}, seed, RATES, outcomes, curve=curve)
    return write(folder, runs, claims, **more)


def rows(folder):
    with (folder / "claims.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_supported_claim(tmp_path):
    done = call(results(tmp_path / "r", LARGER))
    assert done.exit_code == 0, done.stderr
    assert "supported" in done.stdout
    (row,) = rows(tmp_path / "r")
    assert tuple(row) == COLUMNS
    assert COLUMNS[:8] == ("id", "statement", "verdict", "estimate", "ci_low", "ci_high", "n", "reason")
    assert (row["id"], row["verdict"], row["n"]) == ("C2", "supported", "8")
    assert [float(row[name]) for name in ("estimate", "ci_low", "ci_high")] == [1000, 100, 10000]
    assert row["steps"] == "1,000 steps"


def test_the_groups_exchanged_are_refuted_with_exit_code_3(tmp_path):
    done = call(results(tmp_path / "r", LARGER, SMALLER), "--json")
    assert done.exit_code == 3
    answer = json.loads(done.stdout)
    assert [one["verdict"] for one in answer] == ["supported", "refuted"]
    assert set(COLUMNS) <= set(answer[0])
    assert [row["verdict"] for row in rows(tmp_path / "r")] == ["supported", "refuted"]
    assert "Holm's correction for 2 verdicts" in answer[1]["reason"]
    done = call(tmp_path / "r", "--json", "--correction", "none")
    assert "Holm" not in json.loads(done.stdout)[1]["reason"]


def test_too_few_seeds_are_inconclusive_with_exit_code_0(tmp_path):
    done = call(results(tmp_path / "r", LARGER, SMALLER, seeds=2), "--json")
    assert done.exit_code == 0
    assert {one["verdict"] for one in json.loads(done.stdout)} == {"inconclusive"}


def test_a_folder_of_experiments(tmp_path):
    results(tmp_path / "a", LARGER)
    results(tmp_path / "b", SMALLER)
    results(tmp_path / "c")
    done = call(tmp_path, "--json")
    assert done.exit_code == 3
    assert [one["id"] for one in json.loads(done.stdout)] == ["C2", "C2-x"]
    done = call(tmp_path / "c")
    assert done.exit_code == 0
    assert "has no claims" in done.stderr
    assert not (tmp_path / "c" / "claims.csv").exists()


STEPS = claim({"name": "steps_to_target", "target": 0.5}, id="steps", expect={"ratio_at_least": 0.1})


def test_missing_and_truncated_files_are_named_and_the_rest_is_judged(tmp_path):
    whole = results(tmp_path / "whole", LARGER, STEPS, seeds=8)
    assert [one.verdict for one in verify(whole).verdicts] == ["supported", "supported"]
    assert verify(whole).missing == []

    lost = results(tmp_path / "lost", LARGER, STEPS, seeds=8)
    (lost / "metrics.csv").unlink()
    done = call(lost)
    assert done.exit_code == 0
    assert "metrics.csv: no curves" in done.stderr
    assert [row["verdict"] for row in rows(lost)] == ["supported", "inconclusive"]

    torn = results(tmp_path / "torn", LARGER, STEPS, seeds=8)
    data = (torn / "metrics.csv").read_bytes()
    (torn / "metrics.csv").write_bytes(data[: len(data) * 3 // 4])
    done = verify(torn)
    assert any("metrics.csv" in sentence for sentence in done.missing)
    assert done.verdicts[0].verdict != "refuted"

    cut = results(tmp_path / "cut", LARGER, STEPS, seeds=8)
    lines = (cut / "metrics.csv").read_text().splitlines(keepends=True)
    (cut / "metrics.csv").write_text(
        "".join(lines[:-14])
    )  # a diverged run's rows, and three of a finished one
    done = verify(cut)
    assert done.verdicts[0].verdict == "supported"
    assert done.missing == [f"{cut / 'metrics.csv'}: the curves of 1 finished runs are cut short"]

    few = results(tmp_path / "few", LARGER, seeds=8)
    lines = (few / "runs.csv").read_text().splitlines(keepends=True)
    (few / "runs.csv").write_text("".join(lines[:-7]))  # all of seed 7 and two runs of seed 6 without it
    done = verify(few)
    assert "7 of 80 runs (cells times seeds) have no result" in done.missing[0]
    assert (done.verdicts[0].verdict, done.verdicts[0].n) == ("supported", 7)
    assert "not all groups have results of seed 7" in done.verdicts[0].reason

    damaged = results(tmp_path / "damaged", LARGER, STEPS, seeds=8)
    (damaged / "metrics.csv").write_text("run_id,step\n" + "x,y\n" * 3)
    done = verify(damaged)
    assert [one.verdict for one in done.verdicts] == ["supported", "inconclusive"]
    assert "metrics.csv:1: The header is not run_id,step," in done.missing[0]


@pytest.mark.parametrize("name", ["config.yaml", "runs.csv"])
def test_without_config_or_runs_the_other_experiments_are_judged(tmp_path, name):
    results(tmp_path / "a", LARGER)
    folder = results(tmp_path / "b", LARGER)
    (folder / name).unlink()
    with pytest.raises(RecordsError, match=rf"{name}: not there"):
        verify(folder)
    done = call(tmp_path)
    assert "C2" in done.stdout
    assert (tmp_path / "a" / "claims.csv").exists()
    if name == "config.yaml":  # a folder without runs.csv is no experiment
        assert done.exit_code == 2
        assert f"{name}: not there" in done.stderr


def test_it_starts_without_torch(tmp_path):
    code = (
        "import sys; from normbench.analysis.verify import verify; "
        f"verify({str(results(tmp_path / 'r', LARGER))!r}); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
