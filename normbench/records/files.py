"""Writing so that a killed process, a full disk or a lost power line leaves the old file or the new one."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from normbench.errors import RecordsError

NO_ROOM = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}
MOST_BYTES = 8 << 20  # of a small file: a manifest, the environment, a config, a lock
NOT_A_FOLDER = {errno.ENOTDIR, errno.EEXIST}


@contextlib.contextmanager
def explained(path: Path, doing: str) -> Iterator[None]:
    """Turn an `OSError` of the block into a `RecordsError` which says what happened and what mends it."""
    try:
        yield
    except OSError as error:
        raise RecordsError(sentence(error, path, doing)) from error


def sentence(error: OSError, path: Path, doing: str) -> str:
    """Return what the user is told about an error of the system; `doing` is 'written', 'read', ..."""
    if error.errno in NO_ROOM:
        return (
            f"{path}: cannot be {doing}: no room is left on the disk. What was finished is safe; "
            "make room and run the same command again, it goes on from there"
        )
    if error.errno in NOT_ALLOWED:
        return (
            f"{path}: cannot be {doing}: {error.strerror}. What was finished is safe; give yourself the "
            "permission (chmod), or choose another folder with --results DIR"
        )
    if error.errno in NOT_A_FOLDER:
        return f"{path}: a file stands where a folder is needed; move it away, or choose --results DIR"
    return f"{path}: cannot be {doing}: {error.strerror or error}. What was finished is safe"


def sync_folder(folder: Path) -> None:
    """Put the folder's entries (a rename, a new file) on disk; a no-op where folders cannot be synced."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def same_bytes(first: Path, second: Path) -> bool:
    """Say whether two files hold the same bytes, block by block; a file that is not there equals none."""
    try:
        if first.stat().st_size != second.stat().st_size:
            return False
        with first.open("rb") as one, second.open("rb") as two:
            while block := one.read(1 << 20):
                if block != two.read(1 << 20):
                    return False
    except FileNotFoundError:
        return False
    return True


class Replacement:
    """A new version of a file, written aside as `<name>.tmp`; `commit` renames it over the old version."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.aside = path.with_name(path.name + ".tmp")
        with explained(path, "written"):
            self._file: BinaryIO = self.aside.open("wb", buffering=1 << 18)

    def write(self, data: bytes) -> None:
        """Append to the new version."""
        with explained(self.path, "written"):
            self._file.write(data)

    def seal(self) -> None:
        """Put the new version on disk, still aside."""
        with explained(self.path, "written"):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def commit(self) -> None:
        """Rename the sealed version over the old one; a file that would stay the same is not touched."""
        with explained(self.path, "written"):
            if same_bytes(self.aside, self.path):
                self.aside.unlink()
            else:
                os.replace(self.aside, self.path)

    def drop(self) -> None:
        """Throw the new version away, the old one stays."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self.aside.unlink()


def write_file(path: Path, data: bytes) -> None:
    """Write a small file aside, put it on disk and rename it into place."""
    new = Replacement(path)
    try:
        new.write(data)
        new.seal()
        new.commit()
    except BaseException:
        new.drop()
        raise
    sync_folder(path.parent)


def read_small(path: Path) -> bytes:
    """Return a small file's bytes; OSError for one that is larger than any of ours."""
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"it is larger than {MOST_BYTES:,} bytes")
    return data


def remove(path: Path) -> None:
    """Remove a file if it is there."""
    with explained(path, "removed"):
        path.unlink(missing_ok=True)
