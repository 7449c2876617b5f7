"""environment.json: the format of the folder, and the versions, hardware and times of the training.

It has an entry for each session that trained, since a sweep may be interrupted and continued. At the top are
the facts of the latest session with the start of the first one, and when each claim came into the config.
Host names and folders of the machine are not written.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from normbench._version import __version__
from normbench.errors import RecordsError
from normbench.records.files import read_small, write_file

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "pandas",
    "pydantic",
    "scikit-learn",
    "matplotlib",
    "ray",
)
FILE = "environment.json"
FORMAT = 3  # of a results folder; versions 0.1 and 0.2 wrote no number and count as 1 and 2


def now() -> str:
    """Return the time in UTC as ISO 8601."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def facts(
    device: str, threads: int | None, command: Sequence[str] | None = None, workers: int = 1
) -> dict[str, Any]:
    """Return what is known when a session starts.

    Args:
        device: the device that trains.
        threads: the number of torch's threads in each worker, None for torch's default.
        command: the words of the command, by default `sys.argv`.
        workers: the number of processes that train.

    Returns:
        The entry of the session, ready for JSON.
    """
    from normbench.plugins import loaded  # imports torch, which readers of records do not need

    return {
        "versions": {"normbench": __version__, "python": platform.python_version(), **_versions()},
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "threads": threads,
        "workers": workers,
        "device": device,
        "executors": [],
        "plugins": [plugin.record() for plugin in loaded()],
        "git": git_state(),
        "normbench_git": source_state(),
        **_gpu(device),
        "command": command_line(sys.argv if command is None else command),
        "start": now(),
        "end": None,
    }


def start_session(root: Path, session: dict[str, Any]) -> list[str]:
    """Append a session to environment.json; return a sentence if it differs from the one before."""
    before = read_sessions(root)
    _write(root, [*before, session])
    return _differences(before[-1], session) if before else []


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return one sentence on what can change the last digits of results between two sessions."""
    changed = [f"{name} {old} before, {new} now" for name, old, new in _changed(before, now)]
    if not changed:
        return []
    return [
        f"the folder has runs of another environment ({'; '.join(changed)}): the last digits of results may "
        f"differ between old and new runs; {FILE} has both"
    ]


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return what can change the last digits of results and differs between two sessions, old and new."""
    old: dict[str, Any] = {}
    new: dict[str, Any] = {}
    for facts_of, into in ((before, old), (now, new)):
        versions = facts_of.get("versions")
        for name in ("normbench", "torch", "numpy"):
            into[name] = versions.get(name) if isinstance(versions, dict) else None
        into |= {name: facts_of.get(name) for name in ("platform", "cpu", "device", "threads", "gpu", "cuda")}
    # None is unknown, or torch's own number of threads, which depends on the machine.
    return [
        (name, old[name], new[name])
        for name in old
        if old[name] != new[name] and None not in (old[name], new[name])
    ]


def join_sessions(root: Path, shards: Iterable[Path]) -> list[str]:
    """Add the sessions of shards to those of the folder that they are joined into, by their start.

    Returns:
        Sentences on what differs between the sessions and can change the last digits of results.
    """
    known = {_key(session): session for session in read_sessions(root)}
    before = dict(known)
    for shard in shards:
        for session in read_sessions(shard):
            joined = {**session, "shard": shard.name}
            known[_key(joined)] = joined
    if known == before:
        return []
    sessions = sorted(known.values(), key=lambda session: str(session.get("start")))
    _write(root, sessions)
    found: dict[str, list[str]] = {}
    for session in sessions[1:]:
        changed = [f"{name} {old} and {new}" for name, old, new in _changed(sessions[0], session)]
        if changed:
            found.setdefault("; ".join(changed), []).append(_name(session))
    return [
        f"{_name(sessions[0])} and {', '.join(dict.fromkeys(names))} trained in different environments "
        f"({text}): the last digits of their results may differ; {root / FILE} has all of them"
        for text, names in found.items()
    ]


def _key(session: Mapping[str, Any]) -> tuple[str, str]:
    return str(session.get("shard", "")), str(session.get("start"))


def _name(session: Mapping[str, Any]) -> str:
    return f"shard {session['shard']}" if session.get("shard") else "the folder itself"


def check_format(root: Path) -> None:
    """Raise RecordsError if a newer version of normbench wrote the folder in a format unknown here."""
    found = _read(root).get("format", 1)
    if not isinstance(found, int) or found > FORMAT:
        raise RecordsError(
            f"{root / FILE}: the folder has format {found!r}; normbench {__version__} reads formats up to "
            f"{FORMAT}. A newer version wrote it: read it with that version, or train into another folder"
        )


def end_session(root: Path, executors: Iterable[str] = (), made: Mapping[str, Any] | None = None) -> None:
    """Complete the last session with its end, the executors that trained, and what it `made`."""
    sessions = read_sessions(root)
    if sessions:
        known = [*sessions[-1].get("executors", ()), *executors]
        done = {"executors": sorted(set(map(str, known))), **(made or {}), "end": now()}
        sessions[-1] = {**sessions[-1], **done}
        _write(root, sessions)


def read_sessions(root: Path) -> list[dict[str, Any]]:
    """Return the sessions so far; none if the file is missing or damaged, which starts a new one."""
    return _dicts(_read(root).get("sessions"))


def read_claims(root: Path) -> list[dict[str, Any]] | None:
    """Return when each claim came into the config: `claim`, `since`, `results`; None if nobody noted it."""
    claims = _read(root).get("claims")
    return None if claims is None else _dicts(claims)


def write_claims(root: Path, claims: Sequence[Mapping[str, Any]]) -> None:
    """Note when each claim came into the config."""
    _write(root, read_sessions(root), claims)


def workers_of(root: Path) -> int:
    """Return the number of processes that train, or trained last."""
    sessions = read_sessions(root)
    workers = sessions[-1].get("workers") if sessions else 1
    return workers if isinstance(workers, int) and workers > 0 else 1


def _read(root: Path) -> dict[str, Any]:
    try:
        data = json.loads(read_small(root / FILE))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _dicts(found: Any) -> list[dict[str, Any]]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _write(
    root: Path, sessions: Sequence[dict[str, Any]], claims: Sequence[Mapping[str, Any]] | None = None
) -> None:
    claims = read_claims(root) if claims is None else claims
    latest = {**sessions[-1], "start": sessions[0].get("start")} if sessions else {}
    noted = {} if claims is None else {"claims": claims}
    data = {"format": FORMAT, **latest, **noted, "sessions": sessions}
    write_file(root / FILE, (json.dumps(data, indent=2) + "\n").encode())


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def cpu_model() -> str:
    """Return the name of the processor according to the operating system."""
    try:
        for text in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if text.startswith("model name"):
                return text.partition(":")[2].strip()
    except OSError:
        pass
    return _output("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor() or platform.machine()


def git_state(folder: Path | None = None) -> dict[str, Any] | None:
    """Return the commit of a folder and whether tracked files differ from it; None outside git.

    `folder` is the working folder by default; of another one, only files below it count.
    """
    git = ["git", *(["-C", str(folder)] if folder else [])]
    commit = _output(*git, "rev-parse", "HEAD")
    if not commit:
        return None
    below = ["--", "."] if folder else []
    changed = _output(*git, "status", "--porcelain", "--untracked-files=no", *below)
    return {"commit": commit, "dirty": bool(changed)}


def source_state() -> dict[str, Any] | None:
    """Return the commit of normbench's own source; None if it is no checkout."""
    source = Path(__file__).parents[1]  # an installed one may lie below the checkout of something else
    tracked = _output("git", "-C", str(source), "ls-files", "__init__.py")
    return git_state(source) if tracked else None


def _gpu(device: str) -> dict[str, Any]:
    """Return the name of the GPU that trains and the version of CUDA; nothing without a GPU of NVIDIA."""
    if not device.startswith("cuda"):
        return {}
    import torch

    return {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda}


def command_line(argv: Sequence[str]) -> str:
    """Return the command as typed in a shell, with absolute paths made relative to the working folder."""
    return shlex.join([*program(argv), *(_relative(word) for word in argv[1:])])


def program(argv: Sequence[str]) -> list[str]:
    """Return the words that start the program: `normbench`, or `python -m normbench`."""
    name = Path(argv[0]).name if argv else ""
    return ["python", "-m", "normbench"] if name == "__main__.py" else [name] if name else []


def _relative(word: str) -> str:
    option, sign, value = word.partition("=") if word.startswith("-") else ("", "", word)
    if os.path.isabs(value):
        inside = os.path.relpath(value)
        value = f".../{Path(value).name}" if inside.startswith("..") else inside
    return option + sign + value


def _output(*command: str) -> str:
    """Return what a command prints; nothing if it is missing, fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError, ValueError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
