"""A process that is killed and started again leaves the same records as one that was never killed."""

import os
import signal
import subprocess
import sys
import time

import pytest
from helpers.launch import MLP, records, sessions, train

from normbench.records.files import TEMPORARY

LONG = MLP.replace("steps: 230, eval_every: 60", "steps: 1000, eval_every: 100")
CALL = """
import sys
from normbench import api
api.run(sys.argv[1], results=sys.argv[2], threads=1, device="cpu", checkpoint_every=0)
"""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals as on POSIX")


def start(folder):
    folder.mkdir(exist_ok=True)
    path = folder / "tiny.yaml"
    path.write_text(LONG, encoding="utf-8")
    return subprocess.Popen([sys.executable, "-c", CALL, str(path), str(folder)], stderr=subprocess.PIPE)


def kill_when(process, condition):
    deadline = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, process.communicate()[1].decode()
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.thorough
def test_killed_while_a_checkpoint_is_written_and_again_in_the_next_stack(tmp_path):
    folder = tmp_path / "killed" / "tiny"

    def stacks(ending="pt"):
        return {path.name.split(".")[0] for path in folder.glob(f"checkpoints/*.{ending}")}

    train(tmp_path / "whole", LONG)
    kill_when(start(tmp_path / "killed"), lambda: stacks() & stacks(f"pt{TEMPORARY}"))
    (first,) = stacks()
    kill_when(start(tmp_path / "killed"), lambda: stacks() - {first})
    (second,) = stacks()
    process = start(tmp_path / "killed")
    errors = process.communicate(timeout=300)[1]
    assert process.returncode == 0, errors.decode()
    assert records(tmp_path / "killed") == records(tmp_path / "whole")
    (once,), again = sessions(tmp_path / "whole"), sessions(tmp_path / "killed")
    assert len(again) == 3
    assert set(again[-1]["resumed"]) == {second}
    assert again[-1]["run_steps"] < 0.75 * once["run_steps"]
    assert not (folder / "checkpoints").exists()
    assert not (folder / "parts").exists()
