"""The id of a run: a hash of everything that can change its numbers.

Version 0.2 and older wrote the hash as it is. A hash of digits, or of digits and one `e`, is a number to a
spreadsheet, which saves 001234567890 as 1.23E+09. Such a hash now gets an `r` in front (`spelled`); the
others stay as they are. A results folder that has a run under its older spelling goes on under it
(`Plan.with_older_ids`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from normbench.config import Settings
from normbench.data.base import DataOptions
from normbench.plugins import used_by
from normbench.registry import Options

_NUMBER = re.compile(r"[0-9]*e?[0-9]*")  # a spreadsheet takes it for a number
ID_VERSION = 1  # increase it when the same settings come to give other numbers


def written(section: Options) -> str:
    """Return the part of a section that goes into a run's id, as text that is the same on every machine."""
    return json.dumps(section.hashed(), sort_keys=True)


def data_identity(data_dir: Path | None, data: DataOptions) -> str:
    """Return what identifies the images of a data set, as text."""
    return json.dumps(data.identity(data_dir), sort_keys=True)


def canonical(
    settings: Settings, written: Callable[[Any], str], data: Callable[[Any], str], older: bool = False
) -> str:
    """Return everything except the seed that can change a run's numbers, as JSON with sorted keys.

    Args:
        settings: of the run.
        written: returns the text of a section.
        data: returns the text that identifies the images.
        older: whether plug-ins are written as version 0.2 did: by name and the bytes of the file.
    """
    parts = {
        "data": data(settings.data),
        "model": written(settings.model),
        "optimizer": written(settings.optimizer),
        "train": written(settings.train),
        "version": str(ID_VERSION),
    }
    plugins = used_by(settings)
    if plugins and older:
        by_bytes = sorted(plugins, key=lambda plugin: plugin.sha256)
        parts["plugins"] = json.dumps([[one.name, one.package, one.sha256] for one in by_bytes])
    elif plugins:  # another layer with the same name makes another run
        parts["plugins"] = json.dumps([plugin.identity for plugin in plugins])
    return "{" + ", ".join(f'"{key}": {parts[key]}' for key in sorted(parts)) + "}"


def digest(text: str, length: int) -> str:
    """Return the first characters of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def spelled(hashed: str) -> str:
    """Return the id with this hash: one with a letter that is no exponent."""
    return f"r{hashed}" if _NUMBER.fullmatch(hashed) else hashed
