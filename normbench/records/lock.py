"""One process at a time writes a results folder.

The holder keeps a lock of the operating system on `.lock` (through `filelock`). The system releases it when
the process ends in any way, so the lock of a dead process is free on every platform. `run.lock` says who
holds the folder: process, host and start. Readers look at it without touching the lock. It also protects a
folder that several machines share, on a file system that does not lock across machines.

A path is no folder: while a process trains, its folder may be moved or removed, and another process may train
under the same path. So the holder keeps `.lock` open and asks (`check`) before each change whether the path
still leads to this very file. The system gives its number to no other file as long as it is open.

A job that Slurm starts again, perhaps on another machine, takes over what its own earlier start left: Slurm
ends that one before. It gives both the same number of a job, and counts the starts.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from filelock import FileLock, Timeout

from normbench.errors import RecordsError
from normbench.records.files import explained, open_own, read_small, refuse_link, remove, write_file

NAME = "run.lock"
_LOCKED = ".lock"  # stays in the folder: another process may be about to lock it
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}


@dataclass(frozen=True)
class Holder:
    """A process that writes a folder. `ticks` is its start (see `_stat`): process ids are used again.

    `job` is its job of Slurm, if it has one, and `restarts` how often that was started again.
    """

    pid: int
    host: str
    start: str
    ticks: int | None
    job: str | None = None
    restarts: int = 0

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.start}"


class FolderLock:
    """The lock of one results folder."""

    def __init__(self, root: Path) -> None:
        self.root, self.path = root, root / NAME
        # Not per thread: the thread that closes the folder need not be the one that opened it.
        self._lock = FileLock(root / _LOCKED, timeout=0, thread_local=False)
        self._held = False
        self._file = -1  # `.lock`, open while the lock is held

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            RecordsError: another process holds the folder (the message says which), or the lock cannot be
                written.
        """
        is_locked = self._acquire()
        try:
            holder = _read(self.path)
            if is_locked and holder is not None and _is_of_earlier_start(holder):
                holder = None
            if holder is not None and holder.host != socket.gethostname():
                raise RecordsError(
                    f"{self.root}: locked from another machine ({holder}), where this one cannot look; if "
                    f"that process is gone, delete {self.path}"
                )
            if holder is not None and _is_alive(holder) and not (is_locked and _is_stale(holder)):
                raise self._refusal()
            self._file = open_own(self.root / _LOCKED)
            write_file(self.path, json.dumps(asdict(_this_process())).encode())
        except BaseException:
            self._let_go()
            raise
        self._held = True

    def is_ours(self) -> bool:
        """Return whether the path still leads to the folder that this object holds."""
        if not self._held:
            return False
        try:
            there = os.stat(self.root / _LOCKED, follow_symlinks=False)
        except OSError:
            return False
        return os.path.samestat(there, os.fstat(self._file))

    def check(self) -> None:
        """Raise RecordsError if the folder is held no more, or its path leads to another one by now."""
        if not self._held:
            raise RecordsError(f"{self.root}: this process does not hold the folder, so it writes nothing")
        if not self.is_ours():
            raise RecordsError(
                f"{self.root}: was moved, removed or replaced, or its {_LOCKED} was, while this process "
                "trained; the training ends, and what is there now is left alone. If it was moved, its "
                "finished runs are in it: move it back, or name the config like it, and run again"
            )

    def _acquire(self) -> bool:
        """Take the lock of the operating system; return whether this file system has locks."""
        refuse_link(self.root / _LOCKED)  # the lock would empty its target
        with explained(self.root / _LOCKED, "written"):
            try:
                self._lock.acquire()
            except Timeout:
                raise self._refusal() from None
            except NotImplementedError:  # how filelock reports a file system without locks
                return False
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                return False
        return True

    def _refusal(self) -> RecordsError:
        holder = _read(self.path)
        if holder is not None and (holder.pid, holder.host) == (os.getpid(), socket.gethostname()):
            return RecordsError(f"{self.root}: this process already writes this folder")
        return RecordsError(
            f"{self.root}: another process writes this folder ({holder or 'which just began'}); wait for it "
            "or stop it, or give the config another `name:`"
        )

    def release(self) -> None:
        """Release the lock if this object holds it."""
        if self._held:
            with contextlib.suppress(RecordsError):
                if self.is_ours():  # otherwise run.lock is that of another process
                    remove(self.path)
            self._let_go()

    def _let_go(self) -> None:
        self._held = False
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._lock.release()


def holder_of(root: Path) -> str | None:
    """Return the process that writes the folder, None if there is none as far as this machine can tell."""
    holder = _read(root / NAME)
    if holder is None or (holder.host == socket.gethostname() and not _is_alive(holder)):
        return None
    return str(holder)


def _is_stale(holder: Holder) -> bool:
    """Return whether a holder that does not keep the lock of the system is gone although its id is in use.

    If its start proves that it is alive, it is a normbench before 0.2, or the locks of the file system do
    nothing.
    """
    return holder.ticks is None or holder.pid == os.getpid()


def _this_process() -> Holder:
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Holder(os.getpid(), socket.gethostname(), now, _stat(os.getpid())[1], *_job())


def _job() -> tuple[str | None, int]:
    """Return this process's job of Slurm (None if it has none), and how often that was started again."""
    number, restarts = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_RESTART_COUNT", "0")
    job = f"{os.environ.get('SLURM_CLUSTER_NAME', '')}/{number}" if number else None
    return job, int(restarts) if restarts.isdecimal() else 0


def _is_of_earlier_start(holder: Holder) -> bool:
    """Return whether a holder is of an earlier start of this very job."""
    job, restarts = _job()
    return job is not None and job == holder.job and holder.restarts < restarts


def _read(path: Path) -> Holder | None:
    """Return the holder that run.lock names, None if there is none or the file is damaged."""
    try:
        data = json.loads(read_small(path))
        ticks = data.get("ticks")
        job, restarts = data.get("job"), int(data.get("restarts", 0))
        holder = Holder(int(data["pid"]), str(data["host"]), str(data["start"]), ticks, job, restarts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    return holder if holder.pid > 0 else None


def _is_alive(holder: Holder) -> bool:
    """Return whether a process of this machine may still run."""
    if os.name == "nt":
        return True  # os.kill would end it
    try:
        os.kill(holder.pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    state, ticks = _stat(holder.pid)
    if state in ("Z", "X"):
        return False  # it ended, but its parent has not asked for its exit status yet
    # Another process may have its id by now; then their starts differ.
    return None in (holder.ticks, ticks) or ticks == holder.ticks


def _stat(pid: int) -> tuple[str, int | None]:
    """Return the state of a process and its start in clock ticks since boot (None without /proc)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0], int(fields[19])
    except (OSError, ValueError, IndexError):
        return "", None
