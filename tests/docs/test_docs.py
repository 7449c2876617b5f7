"""The documentation is complete, its links and commands exist, and its generated pages are fresh."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from normbench.cli import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "results" / "README.md"])
COMMANDS = typer.main.get_group(app).commands
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def page_id(path):
    return str(path.relative_to(ROOT))


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_links_lead_to_files(path):
    links = LINK.findall(path.read_text(encoding="utf-8"))
    broken = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert not broken


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented_and_has_help_with_an_example(name):
    command = COMMANDS[name]
    assert f"## {name}\n" in (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert re.search(r"Examples?:", command.help or "")
    assert f"normbench {name}" in (command.help or "")
    without_help = [option.name for option in command.params if not getattr(option, "help", "x")]
    assert not without_help


def commands_in(path):
    """Yield the words of each `normbench ...` line in the code blocks of a page."""
    for block in re.findall(r"```sh\n(.*?)```", path.read_text(encoding="utf-8"), re.S):
        for line in block.splitlines():
            for part in line.split("#")[0].split("&&"):
                words = shlex.split(part)
                if words and words[0] == "normbench":
                    yield words[1:]


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_commands_in_the_pages_exist_with_their_options(path):
    for name, *words in commands_in(path):
        assert name in COMMANDS, f"normbench {name}"
        known = {option for one in COMMANDS[name].params for option in one.opts}
        used = {word.split("=")[0] for word in words if word.startswith("--")}
        assert used <= known | {"--help"}, f"normbench {name} {' '.join(words)}"


@pytest.mark.parametrize(
    "script", ["commands", "config_page", pytest.param("claim_pages", marks=pytest.mark.thorough)]
)
def test_generated_pages_are_fresh(script):
    command = [sys.executable, str(ROOT / "docs" / f"{script}.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
