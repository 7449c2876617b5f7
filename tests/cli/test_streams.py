"""Closed, full and narrow-minded streams: answers degrade, and nothing ends in a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from helpers.cli import CONFIG, config_file

NAMED = CONFIG.replace("name: tiny\n", 'name: tiny\ntitle: "Größe → 标准化 ≤ 3 µs"\n')


def shell(line, **env):
    command = line.replace("normbench", f"{sys.executable} -m normbench")
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, env={**os.environ, **env}, timeout=120
    )


posix = pytest.mark.skipif(os.name == "nt", reason="redirections of a POSIX shell")


@posix
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("normbench list norms >&-", 0),
        ("normbench list norms <&- >&- 2>&-", 0),
        ("normbench list norms | head -1 > /dev/null; exit ${PIPESTATUS[1]}", 0),
        ("normbench plan nowhere.yaml 2>&-", 2),
    ],
)
def test_closed_streams_are_no_error(line, code):
    done = shell(line)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    assert b"Exception" not in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_a_sentence():
    done = shell("normbench list norms > /dev/full")
    assert done.returncode == 2
    assert done.stderr.decode() == "the answer cannot be printed: No space left on device\n"
    assert shell("normbench list norms 2> /dev/full").returncode == 0


@pytest.mark.thorough
@pytest.mark.parametrize(
    "encoding",
    ["ascii", "cp1252", "ascii:strict"],
)
def test_any_encoding_of_the_terminal_takes_tables_and_messages(tmp_path, encoding):
    path = config_file(tmp_path, NAMED)
    words = [sys.executable, "-m", "normbench", "plan"]
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    for more in [[], ["--json"]] if encoding == "ascii" else [[]]:
        done = subprocess.run([*words, path, *more], capture_output=True, env=env)
        assert done.returncode == 0, done.stderr
        text = done.stdout.decode(encoding.split(":")[0])
        assert json.loads(text)[0]["name"] == "tiny" if more else "batchnorm" in text
    missing = subprocess.run([*words, "Größe→.yaml"], capture_output=True, env=env)
    assert missing.returncode == 2
    assert b"Traceback" not in missing.stderr
