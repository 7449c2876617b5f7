"""One process at a time writes a folder. The lock of a dead process is free."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap

import pytest
from filelock import FileLock
from helpers.records_folder import CONFIG, run_all

from normbench.errors import RecordsError
from normbench.records import ResultsFolder, holder_of, lock
from normbench.records.lock import FolderLock

HOLD = """
    import sys
    from normbench.records.lock import FolderLock
    from pathlib import Path
    lock = FolderLock(Path(sys.argv[1]))
    lock.acquire()
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other_process(root):
    root.mkdir(parents=True)
    command = [sys.executable, "-c", textwrap.dedent(HOLD), str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def write_holder(root, **changes):
    root.mkdir(parents=True, exist_ok=True)
    holder = {"pid": 1, "host": socket.gethostname(), "start": "2020-01-01T00:00:00Z", "ticks": 1, **changes}
    (root / "run.lock").write_text(json.dumps(holder))


def ticks_of(pid):
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[19])


def test_a_second_process_is_refused_with_who_holds_it(root, plan, other_process):
    sentence = rf"another process writes this folder \(process {other_process.pid} on .*, since 2.*Z\)"
    for _ in range(2):  # the first refusal leaves the lock as it was
        with pytest.raises(RecordsError, match=sentence):
            run_all(root, plan)
    assert {path.name for path in root.iterdir()} == {".lock", "run.lock"}


def test_readers_tell_who_holds_a_folder_without_touching_it(root, other_process):
    before = {path: path.stat().st_mtime_ns for path in root.iterdir()}
    assert holder_of(root).startswith(f"process {other_process.pid} on {socket.gethostname()}, since ")
    assert {path: path.stat().st_mtime_ns for path in root.iterdir()} == before


def test_nobody_holds_a_folder_that_is_free(root, plan):
    assert holder_of(root) is None
    run_all(root, plan)
    assert holder_of(root) is None
    assert not (root / "run.lock").exists()


def test_the_lock_of_a_killed_process_is_taken_over(root, plan, other_process):
    other_process.kill()  # and not waited for: it is a zombie, its id is still in use
    os.waitid(os.P_PID, other_process.pid, os.WEXITED | os.WNOWAIT)
    assert (root / "run.lock").exists()
    assert holder_of(root) is None
    assert run_all(root, plan)
    assert not (root / "run.lock").exists()


def test_it_is_taken_over_where_processes_cannot_be_looked_up(root, plan, other_process, monkeypatch):
    """Windows has neither signal 0 nor /proc; the lock of the system decides."""
    other_process.kill()
    other_process.wait()
    monkeypatch.setattr(lock, "_is_alive", lambda holder: True)
    holder = json.loads((root / "run.lock").read_text())
    write_holder(root, **{**holder, "ticks": None})
    assert run_all(root, plan)


def test_the_id_of_a_dead_holder_may_belong_to_another_process(root, plan):
    write_holder(root, pid=os.getppid())
    assert holder_of(root) is None
    assert run_all(root, plan)


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="starts of processes as on Linux")
def test_a_holder_without_the_lock_of_the_system_is_respected(root, plan):
    """normbench before 0.2 locks another file; its entry in run.lock is the same."""
    write_holder(root, pid=os.getppid(), ticks=ticks_of(os.getppid()))
    with pytest.raises(RecordsError, match=f"another process writes this folder .process {os.getppid()}"):
        run_all(root, plan)
    assert holder_of(root)


def test_a_lock_from_another_machine_is_respected(root, plan):
    write_holder(root, host="elsewhere")
    with pytest.raises(RecordsError, match=r"locked from another machine .*delete .*run\.lock"):
        run_all(root, plan)
    assert holder_of(root) == "process 1 on elsewhere, since 2020-01-01T00:00:00Z"


@pytest.mark.parametrize("error", [NotImplementedError("flock"), OSError(38, "not implemented")])
def test_without_locks_of_the_file_system_the_process_id_decides(root, plan, monkeypatch, error):
    def acquire(self):
        raise error

    monkeypatch.setattr(FileLock, "acquire", acquire)
    write_holder(root, pid=os.getppid(), ticks=None)
    with pytest.raises(RecordsError, match="another process writes this folder"):
        run_all(root, plan)
    write_holder(root, pid=2**22 + 1)  # larger than the ids of Linux
    assert run_all(root, plan)
    assert holder_of(root) is None


def test_one_process_does_not_open_a_folder_twice(root, plan):
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        with pytest.raises(RecordsError, match="this process already writes"):
            ResultsFolder(root).open_for_run(plan, CONFIG)
        assert f"process {os.getpid()} " in holder_of(root)
    assert holder_of(root) is None


def test_a_lock_that_was_not_taken_releases_nothing(root, other_process):
    mine = FolderLock(root)
    with pytest.raises(RecordsError):
        mine.acquire()
    mine.release()
    assert holder_of(root)


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"\xff\xfe", b'{"pid": -5, "host": "x", "start": ""}'])
def test_a_torn_lock_holds_nobody(root, plan, text):
    root.mkdir(parents=True)
    (root / "run.lock").write_bytes(text)
    assert run_all(root, plan)


@pytest.mark.parametrize(
    ("job", "restarts", "taken"), [("7", "1", True), ("7", "0", False), ("8", "1", False), (None, "1", False)]
)
def test_a_job_that_slurm_starts_again_takes_over_its_own_lock(root, plan, monkeypatch, job, restarts, taken):
    write_holder(root, host="elsewhere", job="/7", restarts=0)
    monkeypatch.delenv("SLURM_CLUSTER_NAME", raising=False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    if job is not None:
        monkeypatch.setenv("SLURM_JOB_ID", job)
    monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
    if taken:
        assert run_all(root, plan)
        return
    with pytest.raises(RecordsError, match="locked from another machine"):
        run_all(root, plan)
