"""Verdicts of earlier checks, kept in the user's cache folder, so that each plug-in is checked once."""

from __future__ import annotations

import contextlib
import json
import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from normbench._version import __version__
from normbench.config import Settings
from normbench.data import DatasetInfo
from normbench.planning.run_id import digest
from normbench.plugins import used_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from normbench.fidelity.check import Verdict

ENVIRONMENT = "NORMBENCH_CACHE"
VERSION = 2  # increase it when the check finds more

_known: dict[str, Verdict] = {}


def folder() -> Path:
    """Return the folder of the kept verdicts."""
    return Path(os.environ.get(ENVIRONMENT) or "~/.cache/normbench").expanduser() / "checked"


def key(settings: Settings, info: DatasetInfo, executors: Sequence[str]) -> str:
    """Return what a verdict depends on, as a hash."""
    data = settings.data
    parts = [
        str(VERSION),
        __version__,
        torch.__version__,
        settings.model.model_dump_json(),
        settings.optimizer.model_dump_json(exclude={"lr"}),  # the check has rates of its own
        settings.train.dtype,
        str((data.batch_size, info.input_shape, info.classes, data.augment.model_dump_json())),
        "/".join(executors),
        # The bytes of all files, because a verdict names lines.
        *(sha256(one.data).hexdigest() for plugin in used_by(settings) for one in plugin.sources),
    ]
    return digest("\n".join(parts), 32)


def find(key: str) -> Verdict | None:
    """Return the verdict of an earlier check, or None."""
    from normbench.fidelity.check import Verdict

    if key not in _known:
        with contextlib.suppress(OSError, ValueError, TypeError):
            text = (folder() / f"{key}.json").read_text(encoding="utf-8")
            _known[key] = Verdict(**json.loads(text))
    return _known.get(key)


def keep(key: str, verdict: Verdict) -> None:
    """Keep a verdict. Faults are kept in this process alone: a mended environment is looked at again."""
    _known[key] = verdict
    if verdict.executor is None:
        return
    with contextlib.suppress(OSError):  # a cache: without it the check is made again
        folder().mkdir(parents=True, exist_ok=True)
        target = folder() / f"{key}.json"
        part = target.with_suffix(f".{os.getpid()}")
        part.write_text(
            json.dumps({"executor": verdict.executor, "reason": verdict.reason}), encoding="utf-8"
        )
        part.replace(target)
