"""Reads the config.yaml of a results folder as plain data, within limits of size and depth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from normbench.errors import RecordsError
from normbench.records.environment import check_format
from normbench.records.files import read_small, sentence

MAX_CHARACTERS = 1 << 20
MAX_DEPTH = 40
# Both loaders build the same plain data. The one of libyaml, which PyYAML may lack, is ten times faster.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_config(path: Path) -> dict[str, Any]:
    """Return the settings, none if the file is missing.

    Raises:
        RecordsError: normbench did not write the file, or a newer version wrote the folder.
    """
    check_format(path.parent)
    try:
        return parse_config_text(read_small(path).decode("utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise RecordsError(sentence(error, path, "read")) from error
    except ValueError as error:
        raise RecordsError(
            f"{path}: not a config that normbench wrote ({error}); run the config again to restore it"
        ) from error


def parse_config_text(text: str) -> dict[str, Any]:
    """Return the settings in a text; ValueError for YAML that normbench does not write, such as aliases."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"more than {MAX_CHARACTERS:,} characters")
    depth = 0
    try:
        for event in yaml.parse(text, _Loader):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("it has an alias")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        data = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(data, dict):
        raise ValueError("no mapping")
    return data
