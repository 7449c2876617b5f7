"""Ctrl-C while image files are read: answered within a second, and the cache holds whole files or none."""

from __future__ import annotations

import _thread
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from normbench.data import clear, decode, image_folder, listing, load
from normbench.data.image_folder import ImageFolder

FILES = 600  # of each part, more than the threads take at a time


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(folder / "one.png")
    for part in ("train", "test"):
        for name in ("a", "b"):
            (folder / part / name).mkdir(parents=True)
            for i in range(FILES // 2):
                (folder / part / name / f"{i}.png").hardlink_to(folder / "one.png")
    return folder


def interrupted(act) -> float:
    """Call a function, interrupt it after a moment, and return how long it went on."""
    pressed = []

    def press() -> None:
        pressed.append(time.monotonic())
        _thread.interrupt_main()

    timer = threading.Timer(0.3, press)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        act()
    timer.join()
    return time.monotonic() - pressed[0]


def test_while_images_are_decoded(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real, started = decode._decode, []

    def slow(*args: object) -> object:
        started.append(args)
        time.sleep(0.05)
        return real(*args)

    options = ImageFolder(root=str(root), batch_size=2)
    monkeypatch.setattr(decode, "_decode", slow)
    assert interrupted(lambda: load(options, tmp_path)) < 1
    time.sleep(0.15)
    count = len(started)
    assert count < FILES
    time.sleep(0.2)
    assert len(started) == count  # the threads have ended
    assert not list(tmp_path.rglob("*.npz*"))
    monkeypatch.setattr(decode, "_decode", real)
    assert len(load(options, tmp_path).train) == FILES
    clear()


def test_while_contents_are_hashed(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = Path.read_bytes

    def slow(path: Path) -> bytes:
        time.sleep(0.05)
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", slow)
        assert interrupted(lambda: listing.fingerprint(listing.scan(root), tmp_path)) < 1
    assert not list(tmp_path.rglob("*.json*"))
    first = listing.fingerprint(listing.scan(root), tmp_path)
    assert listing.fingerprint(listing.scan(root), tmp_path) == first


def test_while_the_cache_is_written(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    options = ImageFolder(root=str(root), batch_size=2)

    def cut(file, **_: object) -> None:
        file.write(b"PK half a file")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(image_folder.np, "savez", cut)
        with pytest.raises(KeyboardInterrupt):
            load(options, tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(load(options, tmp_path).train) == FILES
    clear()
