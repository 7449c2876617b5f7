"""The data root: the first of `data.root`, the argument, `$NORMBENCH_DATA` and the cache folder."""

from __future__ import annotations

import os
from pathlib import Path

from normbench.errors import DataError
from normbench.paths import expanded

ENVIRONMENT = "NORMBENCH_DATA"


def data_root(root: str | None = None, data_dir: str | Path | None = None) -> Path:
    """Return the data folder as an absolute path, with `~` and `$VAR` expanded. It need not exist.

    Raises:
        DataError: a variable in it is not set, or the home folder is not known.
    """
    choices = (
        ("data.root", root),
        ("--data-dir", data_dir),
        (f"${ENVIRONMENT}", os.environ.get(ENVIRONMENT)),
        ("the cache folder", "~/.cache/normbench/data"),
    )
    what, chosen = next((what, path) for what, path in choices if path)
    assert chosen is not None
    return expanded(chosen, what, DataError).absolute()
