"""The data root: the first of `data.root`, the argument, `$NORMBENCH_DATA` and the cache folder."""

from __future__ import annotations

import os
from pathlib import Path

ENVIRONMENT = "NORMBENCH_DATA"


def data_root(root: str | None = None, data_dir: str | Path | None = None) -> Path:
    """Return the data folder, with `~` as the home folder of the user. It need not exist."""
    chosen = root or data_dir or os.environ.get(ENVIRONMENT) or "~/.cache/normbench/data"
    return Path(chosen).expanduser()
