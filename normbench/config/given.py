"""A config as it is given: a YAML file, or plain data and objects from Python, as one tree."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Union

from pydantic import BaseModel

from normbench.config.loader import MAX_DEPTH, MAX_NODES, TOO_DEEP, parse, read_text
from normbench.config.nodes import Node
from normbench.config.problems import Problems, Where

Plain = Union[str, Path, Mapping[str, Any], BaseModel]  # what a config can be, beside an `Experiment`

_LARGEST = 10**18  # as in a file: whole numbers have at most 18 digits


def read_config_tree(config: Plain, problems: Problems) -> Node:
    """Return the tree of a config.

    What is wrong goes to `problems`. A file's parts know their lines; those of a mapping have none.

    Args:
        config: path of a YAML file, a mapping as a YAML file would have it, or a pydantic model such as
            `normbench.config.Config`, of which the options that were given count.
        problems: gets what is wrong.
    """
    if isinstance(config, (str, Path)):
        return parse(read_text(config), Where(str(config), 1, 1), problems)
    if isinstance(config, BaseModel):
        config = config.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return _Builder(Where("config"), problems).node(config, ())


class _Builder:
    """Builds the tree of plain data, with the bounds and the types that a file has."""

    def __init__(self, where: Where, problems: Problems) -> None:
        self.where, self.problems = where, problems
        self.left = MAX_NODES

    def node(self, value: Any, path: tuple[str, ...]) -> Node:
        """Return the node of a value; one that no file can hold is noted and left empty."""
        self.left -= 1
        if self.left < 0:
            self.problems.add(self.where, "", f"more than {MAX_NODES:,} values; use fewer")
            return Node(None, self.where)
        if len(path) > MAX_DEPTH:
            self.problems.add(self.where, ".".join(path[:3]), TOO_DEEP)
            return Node(None, self.where)
        if callable(getattr(value, "tolist", None)):  # numbers and arrays of numpy, tensors
            value = value.tolist()
        if isinstance(value, Mapping):
            children = {self.key(key, path): child for key, child in value.items()}
            keys = dict.fromkeys(children, self.where)
            nodes = {key: self.node(child, (*path, key)) for key, child in children.items()}
            return Node(nodes, self.where, keys)
        if isinstance(value, (list, tuple, range)):
            items = [self.node(item, (*path, str(place))) for place, item in enumerate(value)]
            return Node(items, self.where)
        return Node(self.scalar(value, path), self.where)

    def key(self, key: Any, path: tuple[str, ...]) -> str:
        """Return the text of a key."""
        if not isinstance(key, str):
            self.problems.add(self.where, ".".join(path), f"the key {key!r} is no text; keys are words")
        return str(key)

    def scalar(self, value: Any, path: tuple[str, ...]) -> str | int | float | bool | None:
        """Return a value that has no parts as a file would have it."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            if not any("\ud800" <= char <= "\udfff" for char in value):
                return str(value)
            self.problems.add(
                self.where, ".".join(path), "half of a surrogate pair; write the character itself"
            )
            return ""
        if isinstance(value, os.PathLike):
            return os.fsdecode(value)
        text = f"found a value of type {type(value).__name__}; allowed: numbers, texts, True, False, None, "
        text += "lists and mappings of these"
        if isinstance(value, Integral):
            if abs(int(value)) < _LARGEST:
                return int(value)
            text = "too large for a whole number; at most 18 digits"
        elif isinstance(value, Real):
            if math.isfinite(value):
                return float(value)
            text = f"'{float(value)}' is not a finite number; give a finite one, or leave the key out"
        self.problems.add(self.where, ".".join(path), text)
        return None
