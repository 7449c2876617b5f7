"""The README's own commands, in their order and as they stand, on its own config made small."""

import re
import shlex
from pathlib import Path

import pytest
from helpers.cli import good

from normbench import plugins
from normbench.records import folder_status

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LAYER = (ROOT / "docs" / "your_own_layer.md").read_text(encoding="utf-8")
SMALLER = {
    "name: mnist, batch_size: 60": "name: digits, batch_size: 60",
    "seeds: 5": "seeds: 2",
    "width: 100": "width: 8",
    "steps: 1000, eval_every: 100": "steps: 4, eval_every: 2",
    "[3, 10]": "[1, 2]",
    "num: 11": "num: 2",
}


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", README, re.S)


def config():
    sweep, claims = blocks("yaml")
    for large, small in SMALLER.items():
        assert large in sweep
        sweep = sweep.replace(large, small)
    return sweep + claims


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Drawing everything takes most of the time, and has tests of its own.
    monkeypatch.setattr("normbench.plots.plot_results", lambda *_, **__: [])
    (tmp_path / "my_sweep.yaml").write_text(config(), encoding="utf-8")
    (tmp_path / "my_norm.py").write_text(re.findall(r"```python\n(.*?)```", LAYER, re.S)[0], encoding="utf-8")
    return tmp_path


def test_the_commands_run_in_their_order(here):
    commands = [
        shlex.split(line, comments=True)[1:]
        for block in blocks("sh")
        for line in block.splitlines()
        if line.startswith("normbench")
    ]
    assert ["run", "my_sweep.yaml", "--set", "seeds=8"] in commands
    assert ["verify", "results/my_sweep"] in commands
    seeds = 2
    with plugins.unchanged():
        for command in commands:
            good(*command)
            seeds = 8 if "seeds=8" in command else seeds
            if command[0] == "run":
                assert folder_status("results/my_sweep").total == 3 * 2 * 2 * seeds
        # The config names fewer seeds than there are results: these stay.
        good("run", "my_sweep.yaml")
    assert folder_status("results/my_sweep").statuses["finished"] + (
        folder_status("results/my_sweep").statuses["diverged"]
    ) == (3 * 2 * 2 * 8)


def test_the_lines_for_windows_are_single_commands_of_files_in_the_clone():
    (block,) = blocks("powershell")
    for line in block.splitlines():
        assert not re.search(r"&&|\|\||'|(?<!\.)\./", line)  # PowerShell 5 has no &&
        assert line.startswith(("py ", ".\\.venv\\Scripts\\", "conda "))
        for path in re.findall(r"configs[\\/]\S+", line):
            assert (ROOT / path.replace("\\", "/")).is_file()


def test_shipped_configs_are_trained_into_a_folder_that_is_not_shipped():
    lines = [line for block in blocks("powershell") for line in block.splitlines() if "configs" in line]
    assert len(lines) == 2
    for line in lines:
        assert line.endswith("--results my_results")
    assert "/my_results/" in (ROOT / ".gitignore").read_text()
