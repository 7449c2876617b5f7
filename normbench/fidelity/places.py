"""Where in a user's files something is written, for messages: `my_norm.py:12`."""

from __future__ import annotations

import ast
import inspect
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

import normbench

# Code of others: torch, normbench, Python's library, installed packages.
_FOREIGN = tuple(
    str(Path(str(folder)).resolve())
    for folder in (
        Path(inspect.getfile(torch)).parent,
        Path(inspect.getfile(normbench)).parent,
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    )
)


def own_file(name: str | None) -> Path | None:
    """Return the path of a user's file, or None for code of torch, normbench or an installed package."""
    if not name or name.startswith("<"):
        return None
    path = Path(name).resolve()
    if any(str(path).startswith(folder + "/") for folder in _FOREIGN) or not path.is_file():
        return None
    return path


def is_own(cls: type) -> bool:
    """Return whether a class is neither of torch nor of normbench."""
    return cls.__module__.partition(".")[0] not in ("torch", "normbench", "builtins", "numpy")


def place_of(cls: type, attribute: str = "", method: str = "forward") -> str:
    """Return `file:line` of a class: where its method sets an attribute, or where the method begins.

    Args:
        cls: the class.
        attribute: name of an attribute that some method other than `__init__` sets.
        method: to name where the attribute is not set.
    """
    function = getattr(cls, method, None) or vars(cls).get("__init__")
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    if code is None or own_file(code.co_filename) is None:
        return f"{cls.__module__}.{cls.__qualname__}"
    path = Path(code.co_filename)
    lines = list(_settings(path, cls.__name__, attribute)) if attribute else []
    return f"{path.name}:{lines[0] if lines else code.co_firstlineno}"


def _settings(path: Path, cls: str, attribute: str) -> Iterator[int]:
    """Yield the lines of a class that set `self.<attribute>` outside of `__init__`."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if not (isinstance(node, ast.ClassDef) and node.name == cls):
            continue
        for method in node.body:
            if isinstance(method, ast.FunctionDef) and method.name != "__init__":
                for part in ast.walk(method):
                    if isinstance(part, ast.Attribute) and part.attr == attribute:
                        yield part.lineno


def place_of_error(error: BaseException) -> str:
    """Return `file:line` of the user's code that raised an error, or an empty text."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = own_file(frame.filename)
        if path is not None:
            return f"{path.name}:{frame.lineno}"
    return ""


def name_of(net: nn.Module, module: nn.Module) -> str:
    """Return the kind of a module and its place in the net: `Clip (hidden.0.norm)`."""
    place = next((name for name, one in net.named_modules() if one is module), "")
    return f"{type(module).__name__} ({place})" if place else type(module).__name__


def own_namespaces(net: nn.Module) -> dict[str, dict[str, Any]]:
    """Return the attributes of the user's classes and modules of Python that the net uses, by their names.

    Only plain values are returned: neither functions and classes nor modules.
    """
    found: dict[str, dict[str, Any]] = {}
    for module in net.modules():
        for cls in type(module).__mro__:
            if is_own(cls):
                found.setdefault(f"class {cls.__qualname__}", _values(vars(cls)))
                source = sys.modules.get(cls.__module__)
                if source is not None:
                    found.setdefault(f"module {cls.__module__}", _values(vars(source)))
    return found


def _values(namespace: Any) -> dict[str, Any]:
    kinds: tuple[Any, ...] = (type, Callable, type(sys), property, classmethod, staticmethod)
    return {
        key: value
        for key, value in dict(namespace).items()
        if not key.startswith("__") and not isinstance(value, kinds)
    }
