"""Atomic writes: after a killed process, a full disk or a power failure there is the old file or the new.

Nothing outside of the results folder is written or removed. A link to a folder in it is refused
(`refuse_links`, `own_folder`). A link to a file is replaced by a file (`Replacement`) or refused
(`open_own`), so that its target stays as it is.
"""

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
MOST_BYTES = 8 << 20  # of a small file: a manifest, environment.json, a config, run.lock
NOT_A_FOLDER = {errno.ENOTDIR, errno.EEXIST}
TEMPORARY = ".normbench-tmp"  # the end of the names of temporary files; no other program uses it
_EXACT = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


@contextlib.contextmanager
def explained(path: Path, doing: str) -> Iterator[None]:
    """Turn an `OSError` in the block into a `RecordsError` that says what happened and how to fix it."""
    try:
        yield
    except OSError as error:
        raise RecordsError(sentence(error, path, doing)) from error


def sentence(error: OSError, path: Path, doing: str) -> str:
    """Return what the user is told about an operating system error; `doing` is 'written', 'read', ..."""
    if error.errno in NO_ROOM:
        return (
            f"{path}: cannot be {doing}: no room is left on the disk. What was finished is safe; "
            "make room and run the same command again; it continues from there"
        )
    if error.errno in NOT_ALLOWED:
        return (
            f"{path}: cannot be {doing}: {error.strerror}. What was finished is safe; give yourself the "
            "permission (chmod), or choose another folder with --results DIR"
        )
    if error.errno in NOT_A_FOLDER:
        return f"{path}: is a file where a folder is needed; move it away, or choose --results DIR"
    return f"{path}: cannot be {doing}: {error.strerror or error}. What was finished is safe"


def is_link(path: Path) -> bool:
    """Return whether a path is a symbolic link or, on Windows, a junction."""
    return path.is_symlink() or bool(getattr(os.path, "isjunction", lambda _: False)(path))


def refuse_link(path: Path) -> None:
    """Raise RecordsError if a path in a results folder is a link."""
    if is_link(path):
        try:
            target = os.readlink(path)
        except OSError:
            target = "another place"
        raise RecordsError(
            f"{path}: is a link to {target}; normbench writes and removes files only in the results folder "
            "itself. Remove the link, or move what it points to here in its place"
        )


def refuse_links(root: Path) -> None:
    """Raise RecordsError if a results folder holds a link to a folder; `root` itself may be one."""
    with explained(root, "read"):
        for folder, names, _ in os.walk(root):
            for name in names:
                refuse_link(Path(folder, name))


def own_folder(path: Path) -> Path:
    """Make a folder in a results folder if it is missing; RecordsError if it is a link."""
    refuse_link(path)
    with explained(path, "written"):
        path.mkdir(parents=True, exist_ok=True)
    return path


def open_own(path: Path) -> int:
    """Open a file in a results folder to change it in place, or make it; RecordsError if it is a link."""
    refuse_link(path)
    with explained(path, "written"):
        return os.open(path, os.O_RDWR | os.O_CREAT | _EXACT | _NO_LINK, 0o666)


def sync_folder(folder: Path) -> None:
    """Sync the entries of a folder (a rename, a new file) to disk, on systems that can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def same_bytes(first: Path, second: Path) -> bool:
    """Return whether two files hold the same bytes; a missing file equals no other."""
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
    """A new version of a file, written under a temporary name; `commit` renames it over the old version.

    The temporary file is made exclusively: a file or link with its name is removed before, not followed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.aside = path.with_name(path.name + TEMPORARY)
        with explained(path, "written"):
            if os.path.lexists(self.aside):
                self.aside.unlink()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _EXACT | _NO_LINK
            self._file: BinaryIO = os.fdopen(os.open(self.aside, flags, 0o666), "wb", 1 << 18)

    def write(self, data: bytes) -> None:
        """Append to the new version."""
        with explained(self.path, "written"):
            self._file.write(data)

    def seal(self) -> None:
        """Sync the new version to disk, still under its temporary name."""
        with explained(self.path, "written"):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def commit(self) -> None:
        """Rename the sealed version over the old one; a file that would not change is left alone."""
        with explained(self.path, "written"):
            if not is_link(self.path) and same_bytes(self.aside, self.path):
                self.aside.unlink()
            else:
                os.replace(self.aside, self.path)

    def drop(self, remove: bool = True) -> None:
        """Discard the new version; the old one stays. `remove` is false if its path is another's by now."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            if remove:
                self.aside.unlink()


def write_file(path: Path, data: bytes) -> None:
    """Write a small file atomically."""
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
    """Return the bytes of a small file; OSError if it is larger than any that normbench writes."""
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"it is larger than {MOST_BYTES:,} bytes")
    return data


def remove(path: Path) -> None:
    """Remove a file if it exists."""
    with explained(path, "removed"):
        path.unlink(missing_ok=True)
