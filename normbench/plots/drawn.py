"""Remembers from what a folder's figures were drawn, so that `run` draws none again from the same records.

A figure is drawn again if anything is not as it was then: a byte of the records, the file of a figure, this
version's code, matplotlib, the user's matplotlibrc, or the plug-ins.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from normbench._version import __version__
from normbench.errors import RecordsError
from normbench.plots.style import own_settings
from normbench.plugins import loaded
from normbench.records.files import read_small, write_file

NAME = ".drawn.json"  # in the folder of the figures


def remember_drawn(folder: Path, figures: Sequence[Path]) -> None:
    """Note from what these figures of a results folder were drawn; without the note they are drawn again."""
    if not figures or (note := _note(folder, [path.name for path in figures])) is None:
        return
    with contextlib.suppress(RecordsError):
        write_file(figures[0].parent / NAME, json.dumps(note).encode())


def drawn_before(folder: Path) -> list[Path]:
    """Return the figures of a results folder if drawing them again would change nothing; otherwise none."""
    place = folder / "plots"
    try:
        kept = json.loads(read_small(place / NAME))
        names = list(kept["figures"])
    except (OSError, ValueError, KeyError, TypeError):
        return []
    same = all(isinstance(name, str) for name in names) and kept == _note(folder, names)
    return [place / name for name in names] if same else []


def _note(folder: Path, names: Sequence[str]) -> dict[str, object] | None:
    """Return what these figures depend on, and what their files are now; None if one is missing."""
    digest = hashlib.sha256(json.dumps([_code(), repr(own_settings())]).encode())
    digest.update("".join(plugin.identity for plugin in loaded()).encode())
    try:
        for path in sorted(path for path in folder.iterdir() if path.is_file() and path.name[0] != "."):
            content = hashlib.sha256()
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    content.update(block)
            digest.update(path.name.encode() + b"\0" + content.digest())
        stats = [(folder / "plots" / name).stat() for name in names]
    except OSError:
        return None
    files = {name: [stat.st_size, stat.st_mtime_ns] for name, stat in zip(names, stats, strict=True)}
    return {"from": digest.hexdigest(), "figures": files}


@cache
def _code() -> list[object]:
    """Return what tells the code that draws: the versions, and the times of the files of this package."""
    import matplotlib

    root = Path(__file__).parents[1]
    times = [path.stat().st_mtime_ns for path in sorted(root.rglob("*.py"))]
    return [__version__, matplotlib.__version__, times]
