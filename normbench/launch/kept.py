"""The plug-ins that an experiment's results keep: loaded when the experiment goes on and names none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from normbench.config import Experiment, config_name
from normbench.config.given import Plain
from normbench.plugins import load_kept
from normbench.records.environment import check_format
from normbench.records.shards import shards_of
from normbench.records.sources import FOLDER, kept


def load_kept_with(config: Plain | Experiment, overrides: Sequence[str], results: Path) -> list[str]:
    """Load the plug-ins that the results of a config keep, where no loaded one registers the same.

    Call it after the plug-ins that the user names are loaded: these count.

    Returns:
        A sentence about each that was loaded.

    Raises:
        NormbenchError: the config cannot be read, or what is kept cannot be loaded.
    """
    name = config_name(config, overrides)
    if name is None:
        return []
    return load_kept_in([results / name, *shards_of(results / name)])


def load_kept_in(folders: Sequence[Path]) -> list[str]:
    """Load the plug-ins of the first of these folders that keeps any; see `load_kept_with`."""
    for root in folders:
        check_format(root)
        if records := kept(root):
            folder = root / FOLDER
            return [
                f"{plugin.name}: no --plugin names it; loaded as it is kept in {folder / plugin.folder}"
                for plugin in load_kept(records, folder)
            ]
    return []
