"""One process at a time writes a results folder.

`run.lock` names the holder: process, host, start. On Linux and macOS the holder also keeps a POSIX lock on
it, which the kernel lets go when the process ends in whatever way and which child processes do not inherit:
so the lock of a dead process is taken over without a race, and whether a clock jumped plays no part.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from normbench.errors import RecordsError
from normbench.records.files import explained, read_small

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

NAME = "run.lock"
_HELD: set[str] = set()  # by this process: closing any descriptor of such a file would let its lock go


class FolderLock:
    """The lock of one results folder."""

    def __init__(self, root: Path) -> None:
        self.path = root / NAME
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock; RecordsError with who holds it if somebody does."""
        key = _key(self.path)
        if key in _HELD:
            raise RecordsError(f"{self.path.parent}: this process already writes this folder")
        while True:
            with explained(self.path, "written"):
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                if not _lock(descriptor):
                    raise self._refusal(_parse(_content(descriptor)), alive=True)
                if not _is_at(descriptor, self.path):
                    os.close(descriptor)  # its holder removed the file between our opening and locking it
                    continue
                holder = _parse(_content(descriptor))
                if holder and not _gone(holder):
                    raise self._refusal(holder, alive=holder["host"] == socket.gethostname())
                with explained(self.path, "written"):
                    os.ftruncate(descriptor, 0)
                    os.lseek(descriptor, 0, os.SEEK_SET)
                    os.write(descriptor, json.dumps(_myself()).encode())
                break
            except BaseException:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
                raise
        self._descriptor = descriptor
        _HELD.add(key)

    def release(self) -> None:
        """Let the lock go, if we hold it."""
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):  # removed while it is still locked, see `_is_at`
            self.path.unlink()
        with contextlib.suppress(OSError):
            os.close(self._descriptor)
        self._descriptor = None
        _HELD.discard(_key(self.path))

    def _refusal(self, holder: dict[str, Any] | None, alive: bool) -> RecordsError:
        root = self.path.parent
        if alive:
            return RecordsError(
                f"{root}: another process writes this folder ({describe(holder)}); wait for it or stop it, "
                "or give the config another `name:`"
            )
        return RecordsError(
            f"{root}: locked from another machine ({describe(holder)}), where this one cannot look; if that "
            f"process is gone, delete {self.path}"
        )


def holder_of(root: Path) -> str | None:
    """Return who writes the folder now, None if nobody does (as far as this machine can tell)."""
    path = root / NAME
    if _key(path) in _HELD:
        return describe(_myself())
    try:
        holder = _parse(read_small(path))
    except OSError:
        return None
    return None if holder is None or _gone(holder) else describe(holder)


def describe(holder: dict[str, Any] | None) -> str:
    """Return `process 123 on host, since 2025-01-01T00:00:00Z`."""
    if holder is None:
        return "which just began"
    return f"process {holder['pid']} on {holder['host']}, since {holder['start']}"


def _key(path: Path) -> str:
    return os.path.realpath(path)  # `Path.resolve` raises on a link to itself


def _myself() -> dict[str, Any]:
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"pid": os.getpid(), "host": socket.gethostname(), "start": now, "ticks": _stat(os.getpid())[1]}


def _parse(data: bytes) -> dict[str, Any] | None:
    try:
        holder = json.loads(data)
        known = {"pid": int(holder["pid"]), "host": str(holder["host"]), "start": str(holder["start"])}
        return {**known, "ticks": holder.get("ticks")}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None  # killed while it wrote this line


def _gone(holder: dict[str, Any]) -> bool:
    """Say whether the holder has surely ended; a process of another machine is never sure."""
    if holder["host"] != socket.gethostname() or holder["pid"] <= 0:
        return holder["pid"] <= 0
    if holder["pid"] == os.getpid():
        return True  # it is not in _HELD: an earlier process with our number
    if os.name == "nt":
        return False  # os.kill would end the process there
    try:
        os.kill(holder["pid"], 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        pass
    state, ticks = _stat(holder["pid"])
    if state in ("Z", "X"):
        return True  # dead, only its parent has not asked for its exit status yet
    # The number may have gone to another process since; the time of its start tells.
    return None not in (holder["ticks"], ticks) and ticks != holder["ticks"]


def _stat(pid: int) -> tuple[str, int | None]:
    """Return a process's state and its start, in clock ticks since the machine's (None: not told)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0], int(fields[19])
    except (OSError, ValueError, IndexError):
        return "", None


def _lock(descriptor: int) -> bool:
    """Take the kernel's lock; False if another process has it, True also where there are no such locks."""
    if fcntl is None:
        return True
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True  # a file system without locks: the process number has to do
    return True


def _content(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    return os.read(descriptor, 4096)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
