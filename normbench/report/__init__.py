"""One HTML file for experiments: answer, claims, figures, runs. It loads nothing and needs no server.

`page.Page` makes the page, `watch.changes` tells when to make it again while a sweep trains.
"""

from __future__ import annotations

import os
from pathlib import Path

from normbench.errors import NormbenchError

NAME = "report.html"


def target(out: Path | None, results: list[Path]) -> Path:
    """Return the path of the page.

    That is `out` if it is given. Otherwise a single results folder gets the page, and a book goes to the
    working folder.


    Raises:
        NormbenchError: no file can be written there.
    """
    path = out if out is not None else results[0] / NAME if len(results) == 1 else Path(NAME)
    mend = "name a file that can be written: -o FILE"
    try:
        if path.is_dir():
            raise NormbenchError(f"-o {path}: is a folder; name a file in it, such as {path / NAME}")
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            raise NormbenchError(f"-o {path}: is not a file; {mend}")
    except OSError as error:
        raise NormbenchError(f"-o {path}: cannot be written: {error.strerror or error}; {mend}") from error
    if not os.access(path.parent, os.W_OK):
        raise NormbenchError(f"-o {path}: cannot be written: its folder is read-only; {mend}")
    return path
