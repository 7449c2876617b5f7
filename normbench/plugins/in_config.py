"""Classes, functions and data sets that stand in a config from Python, in place of their names."""

from __future__ import annotations

from collections.abc import Mapping
from types import FunctionType
from typing import Any

from torch import nn

from normbench.config.loader import MAX_DEPTH
from normbench.data.torch_set import is_given
from normbench.plugins.own import Given, name_of
from normbench.plugins.texts import Role

_ROLES: Mapping[str, Role] = {"norm": "normalization", "activation": "activation", "model": "model"}


def named(config: Any) -> tuple[Any, list[Given]]:
    """Return a config with names in place of what is given in it, and this, for `load_own`.

    What a plain `nn.Module` is follows from the key: `model.norm`, `model.activation`, or `model`.

    Args:
        config: a mapping; anything else is returned as it is.
    """
    found: list[Given] = []
    return (_replaced(config, "", found, 0) if isinstance(config, Mapping) else config), found


def _replaced(value: Any, key: str, found: list[Given], depth: int) -> Any:
    """Return a value with names in it.

    Args:
        value: a part of a config.
        key: the last word of its key, apart from `name`.
        found: gets what is given.
        depth: of the part; one that is too deep, as in a mapping that holds itself, is refused later.
    """
    if depth > MAX_DEPTH:
        return value
    if is_given(value) or isinstance(value, (type, nn.Module, FunctionType)):
        found.append(Given(value, _ROLES.get(key, "")))
        return name_of(value) if not isinstance(value, nn.Module) else ""
    if isinstance(value, Mapping):
        return {name: _replaced(child, _last(name, key), found, depth + 1) for name, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [_replaced(one, key, found, depth + 1) for one in value]
    return value


def _last(name: Any, above: str) -> str:
    """Return the last word of a dotted key that is not `name`; that of the key above if there is none."""
    words = [word for word in str(name).split(".") if word != "name"]
    return words[-1] if words else above
