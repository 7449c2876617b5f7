"""Where data lies: `data.root`, else the argument, else `$NORMBENCH_DATA`, else the cache folder."""

from __future__ import annotations

import os
from pathlib import Path

ENVIRONMENT = "NORMBENCH_DATA"


def data_root(root: str | None = None, data_dir: str | Path | None = None) -> Path:
    """Return the folder that holds the data; `~` is the user's home. The folder need not exist."""
    chosen = root or data_dir or os.environ.get(ENVIRONMENT) or "~/.cache/normbench/data"
    return Path(chosen).expanduser()
