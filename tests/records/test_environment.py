"""environment.json, and the status of a folder."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

from helpers.records_folder import CONFIG, events, run_all, stacks_of, train

from normbench.records import (
    ResultsFolder,
    environment,
    folder_status,
)
from normbench.records.environment import command_line, read_sessions


def test_environment_keeps_the_first_start_and_every_session(root, plan, monkeypatch):
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        monkeypatch.setattr("normbench.records.environment.now", lambda: "2025-01-01T00:00:00Z")
        folder.start_session("cpu", 2, ["/usr/bin/normbench", "run", "a.yaml"])
        folder.end_session({"looped", "vectorized"})
        monkeypatch.setattr("normbench.records.environment.now", lambda: "2025-01-02T00:00:00Z")
        folder.start_session("cpu", 1, ["normbench", "run", "a.yaml"])
        folder.end_session(["looped"])
    data = json.loads((root / "environment.json").read_text())
    assert (data["start"], data["end"]) == ("2025-01-01T00:00:00Z", "2025-01-02T00:00:00Z")
    assert [session["threads"] for session in data["sessions"]] == [2, 1]
    assert data["sessions"][0]["executors"] == ["looped", "vectorized"]
    assert {"python", "torch", "numpy", "normbench"} <= set(data["versions"])
    assert data["command"] == "normbench run a.yaml"
    assert socket.gethostname() not in (root / "environment.json").read_text()


def test_no_git_and_a_damaged_environment_are_no_failure(root, plan, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    run_all(root, plan)
    (root / "environment.json").write_text("{")
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        folder.start_session("cpu", None)
    assert read_sessions(root)[0]["git"] is None


def test_the_command_names_no_folder_of_the_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["/opt/x/normbench", "run", str(tmp_path / "a b.yaml"), "--data-dir=/data/mnist", "--set", "x=/y"]
    assert command_line(words) == "normbench run 'a b.yaml' --data-dir=.../mnist --set x=/y"
    assert command_line(["/opt/normbench/__main__.py", "plan", "a.yaml"]) == "python -m normbench plan a.yaml"
    assert command_line([]) == ""


def test_reading_needs_no_torch(root, plan):
    run_all(root, plan)
    code = (
        "import sys; from normbench.records import folder_status, ResultsFolder; "
        f"folder_status({str(root)!r}); assert not {{'torch', 'pandas', 'scipy'}} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_status_counts_all(root, plan):
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        train(folder, stacks_of(plan)[0])
        train(folder, stacks_of(plan)[1], upto=6)
        status = folder_status(root)
        assert status.holder
    assert status.statuses == {"finished": 4, "diverged": 0, "crashed": 0, "interrupted": 4, "pending": 4}
    assert sum(status.outcomes.values()) == 4
    assert status.name == "x"
    assert len(list(events(stacks_of(plan)[0]))) == 20


def test_the_commit_of_normbench_is_that_of_its_own_source(tmp_path, monkeypatch):
    commit = ["git", "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-q", "-m", "x"]
    source = tmp_path / "normbench" / "records"
    source.mkdir(parents=True)
    (tmp_path / "normbench" / "__init__.py").write_text("")
    (tmp_path / "other.txt").write_text("")
    monkeypatch.setattr(environment, "__file__", str(source / "environment.py"))
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    subprocess.run(["git", "-C", str(tmp_path), "add", "other.txt"], check=True)
    subprocess.run([*commit[:1], "-C", str(tmp_path), *commit[1:]], check=True)
    assert environment.source_state() is None  # installed below the checkout of something else
    subprocess.run(["git", "-C", str(tmp_path), "add", "normbench"], check=True)
    subprocess.run([*commit[:1], "-C", str(tmp_path), *commit[1:]], check=True)
    found = environment.source_state()
    assert found is not None
    assert len(found["commit"]) == 40
    assert found["dirty"] is False
    (tmp_path / "normbench" / "__init__.py").write_text("x = 1")
    assert environment.source_state() == {**found, "dirty": True}


def test_a_session_on_a_gpu_names_it_and_its_cuda(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A GPU")
    monkeypatch.setattr(torch.version, "cuda", "12.4")
    facts = environment.facts("cuda", None)
    assert (facts["gpu"], facts["cuda"]) == ("A GPU", "12.4")
    assert "gpu" not in environment.facts("cpu", None)
