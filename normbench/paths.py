"""Paths that a user writes: `~` and `$VAR` expanded, composed and decomposed letters alike, links named."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

from normbench.errors import NormbenchError

_VARIABLE = re.compile(r"\$(\w+|\{[^}]*\})")


def expanded(path: str | Path, what: str, error: type[NormbenchError] = NormbenchError) -> Path:
    """Return a path with the home folder for `~` and the values of variables for `$VAR`.

    Args:
        path: as written.
        what: what messages call it, such as `data.root`.
        error: the class of errors to raise.

    Raises:
        NormbenchError: a variable is not set, or there is no such user.
    """
    text = str(path)
    if os.path.lexists(text):
        return Path(text)
    full = os.path.expanduser(os.path.expandvars(text))
    if full.startswith("~"):
        raise error(f"{what}: '{text}' is below a home folder that is not known; write the whole path")
    if missing := _VARIABLE.search(full):
        raise error(
            f"{what}: the variable {missing[0]} in '{text}' is not set; set it, or write the whole path"
        )
    return on_disk(Path(full))


def on_disk(path: Path) -> Path:
    """Return the path as the disk has it: one whose names differ in the form of Unicode alone, or the path.

    macOS and archives made there write `é` as two characters, other systems as one.
    """
    if str(path).isascii() or os.path.lexists(path):
        return path
    found = Path(path.anchor)
    for part in path.parts[1:] if path.anchor else path.parts:
        child = found / part
        if not os.path.lexists(child):
            try:
                names = sorted(os.listdir(found))
            except OSError:
                return path
            alike = next((name for name in names if composed(name) == composed(part)), None)
            if alike is None:
                return path
            child = found / alike
        found = child
    return found


def composed(name: str) -> str:
    """Return a name in the form by which two names are compared."""
    return unicodedata.normalize("NFC", name)


def broken_link(path: Path) -> str | None:
    """Return `/a/b is a link to /c, which is not there`; None if each link on the way leads somewhere."""
    for place in (*reversed(path.parents), path):
        if place.is_symlink() and not place.exists():
            return f"{place} is a link to {os.readlink(place)}, which is not there"
    return None
