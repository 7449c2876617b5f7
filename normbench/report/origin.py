"""Where results come from: the command, the commit and the machine, as environment.json has them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from normbench.records.environment import read_sessions

UNKNOWN = "not recorded"


@dataclass(frozen=True)
class Session:
    """One training session, in words."""

    command: str
    commit: str
    machine: str
    software: str
    start: str


def origin(folder: Path) -> list[Session]:
    """Return the sessions that trained a folder, the latest one first."""
    return [_session(one, folder) for one in reversed(read_sessions(folder))]


def _session(one: dict[str, Any], folder: Path) -> Session:
    return Session(
        _command(one.get("command"), folder),
        _commit(one.get("git")),
        _machine(one),
        _software(one),
        _text(one, "start"),
    )


def _text(one: dict[str, Any], key: str) -> str:
    value = one.get(key)
    return str(value) if value not in (None, "") else UNKNOWN


def again(folder: Path) -> str:
    """Return the command that trains the folder's own config, which has every default written out."""
    return f"normbench run {shlex.quote(str(folder / 'config.yaml'))}"


def _command(text: object, folder: Path) -> str:
    """Return the command that trained the folder. Its first word is the program, however it was called."""
    try:
        words = shlex.split(str(text or ""))
    except ValueError:
        words = []
    if len(words) > 1 and words[1] == "run":
        return shlex.join(["normbench", *words[1:]])
    return again(folder)


def _commit(git: object) -> str:
    if not isinstance(git, dict) or not git.get("commit"):
        return f"{UNKNOWN} (outside a git repository)"
    return f"{git['commit']}{' with uncommitted changes' if git.get('dirty') else ''}"


def _machine(one: dict[str, Any]) -> str:
    threads, workers = one.get("threads"), one.get("workers")
    parts = [
        str(one.get("cpu") or ""),
        f"{one['cores']} cores" if one.get("cores") else "",
        f"device {one['device']}" if one.get("device") else "",
        f"{workers} workers" if isinstance(workers, int) and workers > 1 else "",
        f"{threads} thread{'' if threads == 1 else 's'} each" if threads else "",
        str(one.get("platform") or ""),
    ]
    return ", ".join(filter(None, parts)) or UNKNOWN


def _software(one: dict[str, Any]) -> str:
    versions = one.get("versions")
    if not isinstance(versions, dict):
        return UNKNOWN
    wanted = ("normbench", "python", "torch", "numpy")
    return ", ".join(f"{name} {versions[name]}" for name in wanted if name in versions) or UNKNOWN
