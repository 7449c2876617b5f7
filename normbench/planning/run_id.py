"""What makes a run the run that it is: the text of all that can change its numbers, which its id hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from normbench.config import Settings
from normbench.data.base import DataOptions
from normbench.plugins import used_by
from normbench.registry import Options

ID_VERSION = 1  # raise it when the same settings come to mean other numbers


class Once:
    """A function's answers about objects, each kept by the object itself: cells share their sections."""

    def __init__(self, function: Callable[[Any], str]) -> None:
        self.function = function
        # with the object: else its number could become another's
        self.answers: dict[int, tuple[Any, str]] = {}

    def __call__(self, thing: Any) -> str:
        """Return the answer, at once where it is known."""
        if id(thing) not in self.answers:
            self.answers[id(thing)] = thing, self.function(thing)
        return self.answers[id(thing)][1]


def written(section: Options) -> str:
    """Return what of a section goes into a run's id, as text that is the same everywhere."""
    return json.dumps(section.hashed(), sort_keys=True)


def data_identity(data_dir: Path | None, data: DataOptions) -> str:
    """Return what identifies the images of a data set, as text."""
    return json.dumps(data.identity(data_dir), sort_keys=True)


def canonical(settings: Settings, written: Callable[[Any], str], data: Callable[[Any], str]) -> str:
    """Return all that can change a run's numbers but its seed: JSON with sorted keys, put together of parts.

    written, data: the text of a section, and of what identifies the images.
    """
    parts = {
        "data": data(settings.data),
        "model": written(settings.model),
        "optimizer": written(settings.optimizer),
        "train": written(settings.train),
        "version": str(ID_VERSION),
    }
    plugins = [[plugin.name, plugin.package, plugin.sha256] for plugin in used_by(settings)]
    if plugins:  # another layer under the same name is another run
        parts["plugins"] = json.dumps(plugins)
    return "{" + ", ".join(f'"{key}": {parts[key]}' for key in sorted(parts)) + "}"


def digest(text: str, length: int) -> str:
    """Return the first characters of a text's hash."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]
