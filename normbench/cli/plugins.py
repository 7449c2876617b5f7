"""The plug-ins of the commands that only read results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def load_named(files: Sequence[Path] | None) -> None:
    """Load the files that the user names, and no others: reading results executes no code by itself."""
    if files:
        from normbench.plugins import load_plugins

        load_plugins(files, entry_points=False)
