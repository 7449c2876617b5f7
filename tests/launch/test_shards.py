"""Shards of a sweep, each trained into its own folder and then merged: the files of one go, byte for byte."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.cli import call, good
from helpers.launch import SPLIT, Heard, after, records, sessions, train

from normbench import api
from normbench.analysis.verify import verify
from normbench.engine.loop import StackTrainer
from normbench.errors import NormbenchError, RecordsError
from normbench.records import ResultsFolder, folder_status
from normbench.records.claim_notes import late_claims
from normbench.records.environment import read_claims

ROOT = Path(__file__).parents[2]
SWEEP = """
name: tiny
seeds: 2
data: {name: digits, train_size: 200, test_size: 40, batch_size: 20}
model: {name: mlp, depth: 1, width: 8}
train: {steps: 60, eval_every: 20}
probes: [{name: gradients, every: 30}]
sweep:
  model.norm: [none, batchnorm, layernorm]
  optimizer.lr: [0.1, 0.5, 1.0e+30]
"""
PLAIN = SWEEP.replace("probes: [{name: gradients, every: 30}]\n", "")
EDGE = PLAIN.replace("[0.1, 0.5, 1.0e+30]", "{edge: {from: 0.01, to: 10, precision: 1.5}}")
CLAIM = """
claims:
  - {id: C1, statement: a, source: b, measure: best_accuracy,
     of: {model.norm: batchnorm}, against: {model.norm: none}, expect: {difference_at_least: 0.01}}
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(folder, SWEEP)
    return folder


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Three shards that are trained and not merged; tests take a copy."""
    folder = tmp_path_factory.mktemp("three")
    for index in (3, 1, 2):
        train(folder, SWEEP, shard=f"{index}/3")
    return folder


@pytest.fixture
def shards(three, tmp_path):
    return shutil.copytree(three, tmp_path / "copy")


def merge(folder, **options):
    heard = Heard()
    return api.merge(folder / "tiny", reporter=heard, **options), heard.messages


def files(folder, without=()):
    """Return the bytes of the files that a training in one go gives; of runs.csv without its times."""
    root = folder / "tiny"
    names = ("config.yaml", "metrics.csv", "layers.csv")
    found = {name: (root / name).read_bytes() for name in names if (root / name).exists()}
    return found, records(folder, ("train_seconds", *without))


def test_three_of_three_merged_are_the_files_of_one_go(whole, shards):
    done, said = merge(shards)
    assert files(shards) == files(whole)
    assert "layers.csv" in files(whole)[0]
    assert (done.statuses["finished"], done.statuses["diverged"], len(done.shards)) == (13, 5, 3)
    root = shards / "tiny"
    assert said == [f"{root / 'shards' / f'{i}-of-3'}: 6 runs were taken from there" for i in (1, 2, 3)]
    assert sorted(one["shard"] for one in sessions(shards)) == ["1-of-3", "2-of-3", "3-of-3"]
    assert not (root / "parts").exists()
    assert {path.name for path in (root / "shards").iterdir()} == {"1-of-3", "2-of-3", "3-of-3"}
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert merge(shards)[1] == []
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_a_run_without_a_shard_joins_them_and_trains_what_is_left(whole, shards):
    shutil.rmtree(shards / "tiny" / "shards" / "2-of-3")
    done, said = merge(shards)
    assert (done.statuses["pending"], said[-1]) == (6, "1 of 3 shards have not begun: 2")
    assert train(shards, SWEEP).trained == 6
    assert files(shards) == files(whole)
    assert verify(shards / "tiny", write=False).verdicts == []


def test_what_ended_does_not_change_the_division_and_is_not_trained_again(whole, tmp_path):
    train(tmp_path, SWEEP, should_stop=after(4))
    ended = {run for run, (status, _) in _ends(tmp_path / "tiny").items() if status != "interrupted"}
    assert 0 < len(ended) < 18
    done = [train(tmp_path, SWEEP, shard=f"{index}/3") for index in (1, 2, 3)]
    assert [one.trained + one.skipped for one in done] == [6, 6, 6]
    assert sum(one.skipped for one in done) == len(ended)
    merge(tmp_path)
    assert files(tmp_path, SPLIT) == files(whole, SPLIT)


def _ends(root):
    rows = records(root.parent)[1]
    return {row["run_id"]: (row["status"], row["outcome"]) for row in rows if row["status"] != "pending"}


@pytest.mark.parametrize("count", [2, 5])
def test_a_search_for_the_edge(tmp_path, count):
    train(tmp_path / "whole", EDGE)
    for index in range(count):
        train(tmp_path / "parts", EDGE, shard=f"{index + 1}/{count}")
    merge(tmp_path / "parts")
    without = () if count < 4 else SPLIT  # more shards than nets divide the stacks of later rounds
    assert files(tmp_path / "parts", without) == files(tmp_path / "whole", without)
    assert train(tmp_path / "parts", EDGE).trained == 0


def test_crashed_runs_and_their_tracebacks(tmp_path, monkeypatch):
    step = StackTrainer._train_step

    def raising(self):
        if self.state.step >= 30 and any(
            self.runs[run].settings.optimizer.lr == 0.5 for run in self.state.lanes
        ):
            raise RuntimeError("a layer that cannot do this")
        return step(self)

    with monkeypatch.context() as patch:
        patch.setattr(StackTrainer, "_train_step", raising)
        train(tmp_path / "whole", PLAIN)
        for index in (1, 2, 3):
            assert train(tmp_path / "parts", PLAIN, shard=f"{index}/3").crashed == 2
    done, _ = merge(tmp_path / "parts")
    assert done.statuses["crashed"] == 6
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    texts = {path.name for path in (tmp_path / "parts" / "tiny" / "crashes").iterdir()}
    assert texts == {path.name for path in (tmp_path / "whole" / "tiny" / "crashes").iterdir()}
    assert len(list((tmp_path / "parts" / "tiny").glob("crashes/*"))) == 6
    result = call("merge", tmp_path / "parts")
    assert result.exit_code == 1
    train(tmp_path / "parts", PLAIN, shard="2/3", retry={"crashed"})
    done, said = merge(tmp_path / "parts")
    assert (done.statuses["crashed"], len(said)) == (4, 1)
    assert len(list((tmp_path / "parts" / "tiny").glob("crashes/*"))) == 4


def test_a_stopped_shard_goes_on_and_what_ended_is_merged_before(whole, shards):
    shutil.rmtree(shards / "tiny" / "shards" / "2-of-3")
    assert train(shards, SWEEP, shard="2/3", should_stop=after(2)).interrupted
    done, _ = merge(shards)
    assert done.statuses["pending"] > 0
    heard = Heard()
    train(shards, SWEEP, shard="2/3", reporter=heard)
    assert any("continues at step" in text for text in heard.messages)
    merge(shards)
    assert files(shards) == files(whole)


def test_a_shard_that_was_killed_before_its_last_merge(whole, shards, monkeypatch):
    shutil.rmtree(shards / "tiny" / "shards" / "2-of-3")
    merges = iter([True])
    real = ResultsFolder.merge
    with monkeypatch.context() as patch:
        patch.setattr(ResultsFolder, "merge", lambda self: real(self) if next(merges, False) else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(shards, SWEEP, shard="2/3")
    assert list((shards / "tiny" / "shards" / "2-of-3" / "parts").iterdir())
    merge(shards)
    assert files(shards) == files(whole)


def test_a_probe_that_was_added_is_measured_in_shards_and_merged(tmp_path, whole):
    train(tmp_path, PLAIN)
    for index in (1, 2):
        assert train(tmp_path, SWEEP, shard=f"{index}/2").replayed == (12, 6)[index - 1]
    merge(tmp_path)
    assert files(tmp_path) == files(whole)


def test_seeds_that_are_added_divide_anew(tmp_path, shards):
    more = SWEEP.replace("seeds: 2", "seeds: 3")
    train(tmp_path / "whole", more)
    merge(shards)
    done = [train(shards, more, shard=f"{index}/2") for index in (1, 2)]
    assert sum(one.trained for one in done) == 9
    merge(shards)
    assert files(shards, SPLIT) == files(tmp_path / "whole", SPLIT)


def test_a_folder_that_is_being_written(shards):
    root = shards / "tiny"
    first = root / "shards" / "1-of-3"
    plan = api.plan(shards / "tiny.yaml", device="cpu")
    with ResultsFolder(first) as held:
        held.open_for_run(plan, (first / "config.yaml").read_text())
        with pytest.raises(RecordsError, match="already writes this folder"):
            train(shards, SWEEP, shard="1/3")
        with pytest.raises(RecordsError, match=r"1-of-3: is being written by process .*would train the same"):
            train(shards, SWEEP)
        done, said = merge(shards)
        assert done.statuses["pending"] == 6
        assert "left out: merge again when it ends" in said[0]
    assert merge(shards)[0].statuses["pending"] == 0


def test_other_settings_are_refused_and_named(shards):
    train(shards, SWEEP.replace("width: 8", "width: 9"), shard="3/4")
    before = {path for path in (shards / "tiny").rglob("*") if path.is_file()}
    with pytest.raises(RecordsError) as caught:
        merge(shards)
    text = str(caught.value)
    assert "1-of-3: 6 of its 6 finished runs are not in this config" in text
    assert "model.width: 8 in its config.yaml, 9 now" in text
    assert "Train all shards with one config; or run with --keep-old" in text
    assert not (shards / "tiny" / "runs.csv").exists()
    after_ = {path for path in (shards / "tiny").rglob("*") if path.is_file()} - before
    assert after_ <= {shards / "tiny" / ".lock"}
    _, said = merge(shards, keep_old=True)
    assert sum("left there; the config does not have them" in one for one in said) == 3


def test_data_that_differ_are_refused(shards):
    """The ids of runs have the fingerprint of a folder of images; here the ids are changed by hand."""
    first = shards / "tiny" / "shards" / "1-of-3"
    (row, *_) = records_of(first)
    for name in ("runs.csv", "metrics.csv", "layers.csv"):
        path = first / name
        path.write_text(path.read_text().replace(row, "0123456789ab"))
    with pytest.raises(RecordsError, match="the same settings, so the files of its data set were others"):
        merge(shards)


def records_of(root):
    return [line.partition(",")[0] for line in (root / "runs.csv").read_text().splitlines()[1:]]


def test_two_results_of_one_run_must_agree(shards):
    first = shards / "tiny" / "shards" / "1-of-3"
    other = shutil.copytree(first, shards / "tiny" / "shards" / "1-of-4")
    assert [text for text in merge(shards)[1] if "1-of-4: 6" in text] == []
    shutil.rmtree(shards / "tiny" / "shards" / "1-of-4")
    for name in ("runs.csv", "metrics.csv", "config.yaml", "environment.json"):
        (shards / "tiny" / name).unlink()
    shutil.copytree(first, other)
    lines = (other / "metrics.csv").read_text().splitlines(keepends=True)
    cells = lines[1].split(",")
    cells[4] = "1.5"  # in the first evaluation, of which runs.csv has no summary
    (other / "metrics.csv").write_text("".join([lines[0], ",".join(cells), *lines[2:]]))
    with pytest.raises(
        RecordsError, match=r"1-of-3 and .*1-of-4: both trained the run .*, with other numbers"
    ):
        merge(shards)


def test_other_versions_and_machines_are_said(shards):
    for name, key, value in (("2-of-3", "cpu", "Another 3000"), ("3-of-3", "versions", {"torch": "1.0"})):
        path = shards / "tiny" / "shards" / name / "environment.json"
        data = json.loads(path.read_text())
        session = data["sessions"][0]
        session[key] = {**session[key], **value} if isinstance(value, dict) else value
        session["start"] = f"2099-01-0{name[0]}T00:00:00Z"
        path.write_text(json.dumps(data))
    _, said = merge(shards)
    told = [text for text in said if "different environments" in text]
    assert len(told) == 2
    assert told[0].startswith("shard 1-of-3 and shard 2-of-3 trained in different environments (cpu ")
    assert "and Another 3000): the last digits of their results may differ" in told[0]
    assert "shard 3-of-3 trained in different environments (torch " in told[1]
    assert merge(shards)[1] == []  # said once; environment.json keeps it
    assert [one["shard"] for one in sessions(shards)] == ["1-of-3", "2-of-3", "3-of-3"]


def test_shards_of_one_division_train_on_one_device(shards):
    path = shards / "tiny" / "shards" / "1-of-3" / "environment.json"
    data = json.loads(path.read_text())
    data["sessions"][-1]["device"] = "cuda"
    path.write_text(json.dumps(data))
    with pytest.raises(RecordsError, match=r"1-of-3: trained on cuda, and this shard would train on cpu"):
        train(shards, SWEEP, shard="2/3")
    assert train(shards, SWEEP, shard="2/2").trained


def test_claims_that_came_before_the_shards_and_after_them(tmp_path, shards):
    for index in (1, 2):
        train(tmp_path, PLAIN + CLAIM, shard=f"{index}/2")
    merge(tmp_path)
    (note,) = read_claims(tmp_path / "tiny")
    assert note["results"] == 0
    for index in (1, 2, 3):  # nothing is left to train, but the claim is new
        train(shards, SWEEP + CLAIM, shard=f"{index}/3")
    merge(shards)
    (note,) = read_claims(shards / "tiny")
    assert note["results"] == 18
    claim = {"id": "C1", **note["claim"]}
    assert "when 18 runs had a result" in late_claims(shards / "tiny", [claim])[0]


def test_not_with_decide_and_not_without_shards(tmp_path, whole):
    for config, decide in ((PLAIN + CLAIM, True), (PLAIN + CLAIM + "decide: {}\n", None)):
        with pytest.raises(NormbenchError, match=r"--shard: not where seeds are added .* \(--no-decide\)"):
            train(tmp_path, config, shard="1/2", decide=decide)
    assert train(tmp_path, PLAIN + CLAIM + "decide: {}\n", shard="1/3", decide=False).trained == 6
    with pytest.raises(NormbenchError, match=r"has shards with records \(shards/I-of-N\)"):
        api.merge(whole / "tiny")


def test_the_commands(tmp_path, shards):
    result = good("status", shards)
    assert [line.split()[:3] for line in result.stdout.splitlines() if line.startswith(" tiny")] == [
        ["tiny", f"{index}-of-3", "6"] for index in (1, 2, 3)
    ]
    assert folder_status(shards / "tiny" / "shards" / "1-of-3").name == "tiny 1-of-3"
    result = call("plot", shards)
    assert "has records of shards alone; join them with: normbench merge" in result.stderr
    config = shards / "tiny.yaml"
    plan = json.loads(good("plan", config, "--shard", "2/3", "--json").stdout)
    assert [(one["shard"], one["runs"], len(one["stacks"])) for one in plan] == [("2/3", 6, 1)]
    assert "tiny, shard 2/3: 6 runs" in good("plan", config, "--shard", "2/3").stdout
    assert "shard 4 of 4 has nothing to train" in good("plan", config, "--shard", "4/4").stdout
    result = good("run", config, "--results", shards, "--shard", "2/3")
    assert f"normbench merge {shards / 'tiny'}" in result.stderr
    answer = json.loads(good("merge", shards, "--json").stdout)
    assert (answer[0]["name"], answer[0]["statuses"]["finished"], len(answer[0]["shards"])) == ("tiny", 13, 3)
    rows = good("status", shards).stdout
    assert sum(line.startswith(" tiny") for line in rows.splitlines()) == 4


SCRIPT = re.search(
    r"```bash\n(#!/bin/bash\n.*?)```", (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8"), re.S
)[1]
COMMANDS = {
    "normbench": f'#!/bin/bash\nexec {sys.executable} -m normbench "$@" --device cpu\n',
    "scontrol": '#!/bin/bash\necho "$@" >> scontrol.txt\n',
}


@pytest.fixture
def slurm(tmp_path):
    """Return what starts the script of docs/cluster.md as Slurm starts the first job of its array."""
    for name, text in COMMANDS.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    (tmp_path / "script").write_text(SCRIPT)
    job = {"SLURM_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "1", "SLURM_CPUS_PER_TASK": "1"}

    def start(restarts):
        path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, **job, "PATH": path, "SLURM_RESTART_COUNT": str(restarts)}
        return subprocess.Popen(
            ["bash", "script"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
        )

    return start


@pytest.mark.thorough
@pytest.mark.skipif(os.name == "nt", reason="signals as on POSIX")
def test_the_job_of_the_page_is_queued_again_and_goes_on(tmp_path, slurm):
    config = PLAIN.replace("steps: 60", "steps: 3000")
    (tmp_path / "my_sweep.yaml").write_text(config)
    shard = tmp_path / "results" / "tiny" / "shards" / "1-of-8"
    process = slurm(restarts=0)
    deadline = time.monotonic() + 300
    while not any(part.stat().st_size > 1500 for part in shard.glob("parts/*metrics*")):
        assert time.monotonic() < deadline, process.communicate()
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGUSR1)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130, errors
    assert "stopping: writing what is measured so far" in errors
    assert (tmp_path / "scontrol.txt").read_text() == "requeue 7\n"
    assert list(shard.glob("checkpoints/*.pt"))
    holder = {"pid": 1, "host": "elsewhere", "start": "2020-01-01T00:00:00Z", "ticks": 1, "job": "/7"}
    (shard / "run.lock").write_text(json.dumps(holder))  # as if the first machine had gone
    process = slurm(restarts=1)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "continues at step" in errors
    assert (tmp_path / "scontrol.txt").read_text() == "requeue 7\n"
    train(tmp_path / "once", config, shard="1/8")
    once = tmp_path / "once" / "tiny" / "shards" / "1-of-8" / "metrics.csv"
    assert (shard / "metrics.csv").read_bytes() == once.read_bytes()
