"""The files of an image folder, `train/<class>/*` and `test/<class>/*`: list, check and hash them."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, TypeVar

from normbench.data.base import Progress
from normbench.errors import DataError
from normbench.paths import broken_link, composed

T = TypeVar("T")

PARTS = ("train", "test")
LAYOUT = "train/<class>/* and test/<class>/*"
JUNK = {"thumbs.db", "desktop.ini"}  # files that Windows leaves in image folders
CHUNK = 256  # files per task of a thread
POLL_SECONDS = 0.2  # between two looks for an interrupt, which Windows does not answer while waiting
SHOWN = 5  # files that an error names; it counts the others
CACHE_FOLDER = "image_folder"  # below the data root


@dataclass(frozen=True)
class ImageFile:
    """One file: path below the root (with /), class, size in bytes, and time of the last change."""

    path: str
    label: int
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Listing:
    """The files of both parts, sorted by class and name."""

    root: Path
    class_names: tuple[str, ...]
    train: tuple[ImageFile, ...]
    test: tuple[ImageFile, ...]

    @property
    def files(self) -> tuple[ImageFile, ...]:
        """Return the training files, then the test files."""
        return self.train + self.test

    @cached_property
    def stamp(self) -> str:
        """Return a hash of the place, names, sizes and times; equal stamps mean unchanged files."""
        digest = hashlib.blake2b(os.fsencode(self.root.resolve()), digest_size=16)
        for file in self.files:
            digest.update(os.fsencode(f"\0{file.path}\0{file.size_bytes}\0{file.mtime_ns}"))
        return digest.hexdigest()


_listed: ContextVar[dict[Path, Listing] | None] = ContextVar("listed", default=None)


def shown(problems: list[str]) -> str:
    """Return the first problems as text, and the number of the others."""
    more = f" (and {len(problems) - SHOWN} more)" if len(problems) > SHOWN else ""
    return "; ".join(problems[:SHOWN]) + more


@contextmanager
def listed_once() -> Iterator[None]:
    """List each folder once in a block: a plan asks again and again for the files of one moment."""
    if _listed.get() is not None:  # within another such block
        yield
        return
    token = _listed.set({})
    try:
        yield
    finally:
        _listed.reset(token)


def scan(root: Path) -> Listing:
    """Return the files of both parts, or raise a `DataError` that names what is wrong with the layout."""
    known = _listed.get()
    if known is None:
        return _scan(root)
    if root not in known:
        known[root] = _scan(root)
    return known[root]


def _scan(root: Path) -> Listing:
    try:
        if link := next((text for part in PARTS if (text := broken_link(root / part))), None):
            raise DataError(f"data.root: {link}; mend the link, or name another folder")
        missing = [part for part in PARTS if not (root / part).is_dir()]
        if missing:
            raise DataError(
                f"data.root: {root} has no folder '{missing[0]}'; image_folder expects {LAYOUT} below "
                f"data.root; name the folder that holds train/ and test/, or create it"
            )
        classes = {part: _visible(root / part) for part in PARTS}
        _refuse_broken(entry for part in PARTS for entry in classes[part])
        stray = [str(root / part / e.name) for part in PARTS for e in classes[part] if not e.is_dir()]
        if stray:
            raise DataError(
                f"data.root: files outside a class: {shown(stray)}; image_folder expects {LAYOUT}; "
                f"move them into the folder of a class, or elsewhere"
            )
        names = {part: sorted(entry.name for entry in classes[part]) for part in PARTS}
        _refuse_alike(root, names)
        forms = {part: {composed(name): name for name in names[part]} for part in PARTS}
        one_sided = [
            f"'{name}' is in {root / part} but not in {root / other}"
            for part, other in (PARTS, PARTS[::-1])
            for name in names[part]
            if composed(name) not in forms[other]
        ]
        if one_sided:
            raise DataError(
                f"data.root: classes in one part only: {shown(one_sided)}; both parts need the same classes; "
                f"add the missing folders or remove these"
            )
        if len(names["train"]) < 2:
            raise DataError(
                f"data.root: {root / 'train'} holds {len(names['train'])} classes; at least 2 are needed, "
                f"each a folder of images: {LAYOUT}"
            )
        own = {"train": names["train"], "test": [forms["test"][composed(name)] for name in names["train"]]}
        train, test = (_files(root, part, own[part]) for part in PARTS)
    except OSError as error:
        raise DataError(f"data.root: {error.filename or root} cannot be read: {error.strerror}") from error
    return Listing(root, tuple(names["train"]), train, test)


def _refuse_broken(entries: Iterable[os.DirEntry[str]]) -> None:
    """Raise a `DataError` that names the links that lead nowhere."""
    broken = [text for entry in entries if entry.is_symlink() and (text := broken_link(Path(entry.path)))]
    if broken:
        raise DataError(f"data.root: {shown(broken)}; mend or remove the link")


def _refuse_alike(root: Path, names: dict[str, list[str]]) -> None:
    """Raise a `DataError` if two classes of a part differ in the form of Unicode alone."""
    for part, own in names.items():
        seen: dict[str, str] = {}
        for name in own:
            if composed(name) in seen:
                raise DataError(
                    f"data.root: {root / part} has two folders '{name}', one with composed letters, one with "
                    "decomposed ones; move their images into one of them"
                )
            seen[composed(name)] = name


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return [e for e in entries if not e.name.startswith(".") and e.name.lower() not in JUNK]


def _files(root: Path, part: str, names: list[str]) -> tuple[ImageFile, ...]:
    files: list[ImageFile] = []
    for label, name in enumerate(names):
        entries = sorted(_visible(root / part / name), key=lambda entry: entry.name)
        _refuse_broken(entries)
        folders = [entry.path for entry in entries if entry.is_dir()]
        if folders:
            raise DataError(
                f"data.root: folders inside a class: {shown(folders)}; image_folder expects {LAYOUT}; move "
                f"their images up"
            )
        if not entries:
            raise DataError(
                f"data.root: {root / part / name} has no images; add some, or remove the class from "
                f"train/ and test/"
            )
        for entry in entries:
            stat = entry.stat()
            files.append(ImageFile(f"{part}/{name}/{entry.name}", label, stat.st_size, stat.st_mtime_ns))
    return tuple(files)


def fingerprint(listing: Listing, cache: Path) -> str:
    """Return a hash of the names and contents of all files.

    Unlike the stamp, it is the same for a copy of the folder. The cache keeps it together with the stamp, so
    that unchanged files are read only once.
    """
    stamp = listing.stamp
    kept = cache_path(listing.root, cache, "json")
    try:
        found = json.loads(kept.read_text())
        if found["stamp"] == stamp:
            return str(found["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # missing or unreadable: compute it

    def digest(i: int) -> bytes:
        file = listing.files[i]
        content = (listing.root / file.path).read_bytes()
        return hashlib.blake2b(content, digest_size=16).digest() + os.fsencode(file.path) + b"\0"

    whole = hashlib.blake2b(digest_size=16)
    try:
        for part in in_threads(digest, len(listing.files)):
            whole.update(part)
    except OSError as error:
        raise DataError(f"data.root: {error.filename} cannot be read: {error.strerror}") from error
    result = whole.hexdigest()
    text = json.dumps({"stamp": stamp, "fingerprint": result}).encode()
    keep(kept, lambda file: file.write(text))
    return result


def in_threads(work: Callable[[int], T], count: int, progress: Progress | None = None) -> list[T]:
    """Return work(0), ..., work(count - 1), computed by threads.

    An interrupt or an error takes effect at once; each thread ends after the item that it is at.

    Args:
        work: called in a thread with the number of an item.
        count: of the items.
        progress: called with (done, total) in this thread.

    Returns:
        The results, in order.
    """
    stopped = threading.Event()

    def chunk(start: int) -> list[T]:
        chosen = range(start, min(start + CHUNK, count))
        return [work(i) for i in chosen if not stopped.is_set()]

    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        tasks = [pool.submit(chunk, start) for start in range(0, count, CHUNK)]
        pending, done = set(tasks), 0
        while pending:
            ended, pending = wait(pending, POLL_SECONDS, FIRST_COMPLETED)
            for task in ended:
                done += len(task.result())
                if progress is not None:
                    progress(done, count)
        return [result for task in tasks for result in task.result()]
    finally:
        stopped.set()
        pool.shutdown(wait=False, cancel_futures=True)


def cache_path(root: Path, cache: Path, suffix: str, *variant: object) -> Path:
    """Return the cache file of this folder and variant; a changed folder overwrites it."""
    text = "\0".join([str(root.resolve()), *map(str, variant)])
    return cache / CACHE_FOLDER / f"{hashlib.blake2b(os.fsencode(text), digest_size=8).hexdigest()}.{suffix}"


def keep(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a cache file atomically; if that fails, warn and go on without it."""
    try:
        write_aside(path, write)
    except OSError as error:
        warnings.warn(f"{path} cannot be cached ({error}); it will be computed again", stacklevel=3)


def write_aside(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file beside its place, and put it there when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise
