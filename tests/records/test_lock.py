"""One process at a time writes a folder; the lock of a dead one is taken over."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap

import pytest
from helpers.records_folder import CONFIG, run_all

from normbench.errors import RecordsError
from normbench.records import (
    ResultsFolder,
    holder_of,
)

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


def test_a_second_process_is_refused_with_who_holds_it(root, plan, other_process):
    with pytest.raises(
        RecordsError, match=f"another process writes this folder .process {other_process.pid} on"
    ):
        run_all(root, plan)
    assert [path.name for path in root.iterdir()] == ["run.lock"]
    assert f"process {other_process.pid}" in holder_of(root)


def test_the_lock_of_a_killed_process_is_taken_over(root, plan, other_process):
    other_process.kill()  # and not waited for: it is a zombie, its number still in use
    os.waitid(os.P_PID, other_process.pid, os.WEXITED | os.WNOWAIT)
    assert (root / "run.lock").exists()
    assert holder_of(root) is None
    assert run_all(root, plan)
    assert not (root / "run.lock").exists()


def test_the_number_of_a_dead_holder_may_belong_to_another_process(root, plan):
    root.mkdir(parents=True)
    holder = {"pid": os.getppid(), "host": socket.gethostname(), "start": "2020-01-01T00:00:00Z", "ticks": 1}
    (root / "run.lock").write_text(json.dumps(holder))
    assert run_all(root, plan)


def test_a_lock_from_another_machine_is_respected(root, plan):
    root.mkdir(parents=True)
    holder = {"pid": 1, "host": "elsewhere", "start": "2020-01-01T00:00:00Z", "ticks": 1}
    (root / "run.lock").write_text(json.dumps(holder))
    with pytest.raises(RecordsError, match=r"locked from another machine .*delete .*run\.lock"):
        run_all(root, plan)


def test_one_process_does_not_open_a_folder_twice(root, plan):
    with ResultsFolder(root) as folder:
        folder.open_for_run(plan, CONFIG)
        with pytest.raises(RecordsError, match="this process already writes"):
            ResultsFolder(root).open_for_run(plan, CONFIG)
        assert holder_of(root)
    assert holder_of(root) is None


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"\xff\xfe", b'{"pid": -5, "host": "x", "start": ""}'])
def test_a_torn_lock_holds_nobody(root, plan, text):
    root.mkdir(parents=True)
    (root / "run.lock").write_bytes(text)
    assert run_all(root, plan)
