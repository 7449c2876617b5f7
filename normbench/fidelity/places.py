"""Where in a user's files something is written, for messages: `my_norm.py:12`."""

from __future__ import annotations

import ast
import inspect
import itertools
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import nn

import normbench
from normbench.plugins import loaded

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
    if any(path == source.path for plugin in loaded() for source in plugin.sources):
        return path  # of an installed package, too
    if any(str(path).startswith(folder + "/") for folder in _FOREIGN) or not path.is_file():
        return None
    return path


def is_own(cls: type) -> bool:
    """Return whether a class is neither of torch nor of normbench."""
    return cls.__module__.partition(".")[0] not in ("torch", "normbench", "builtins", "numpy")


def place_of(cls: type, *attributes: str, method: str = "forward", made: bool = False) -> str:
    """Return `file:line` of a class: where it sets an attribute, or where its method begins.

    Args:
        cls: the class.
        attributes: names of attributes; the first one that the class uses counts.
        method: to name where it uses none of them.
        made: name the line of `__init__` or `initialize` that makes the attribute, not one that changes it.
    """
    for attribute, owner in itertools.product(filter(None, attributes), cls.__mro__):
        if is_own(owner) and (path := own_file(_file_of(owner))) is not None:
            lines = list(_lines(path, owner.__name__, attribute))
            if lines:  # of the lines that make it, the last one decides
                best = min(lines, key=lambda line: (line.made != made, line.rank, -made * line.number))
                return f"{path.name}:{best.number}"
    function = getattr(cls, method, None) or vars(cls).get("__init__")
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    if code is None or own_file(code.co_filename) is None:
        return f"{cls.__module__}.{cls.__qualname__}"
    return f"{Path(code.co_filename).name}:{code.co_firstlineno}"


def _file_of(cls: type) -> str | None:
    return getattr(sys.modules.get(cls.__module__), "__file__", None)


class _Line(NamedTuple):
    """A line that uses an attribute.

    Attributes:
        number: of the line.
        made: whether the line belongs to a method that makes the layer.
        rank: 0 if the line binds the attribute or writes to it, 1 if it only uses it.
    """

    number: int
    made: bool
    rank: int


# Methods of Python's containers that change them; those of torch end in an underscore.
_CHANGING = ("append", "add", "update", "extend", "setdefault", "pop", "clear", "register_hook")


def _lines(path: Path, cls: str, attribute: str) -> Iterator[_Line]:
    """Yield the lines of a class that use `self.<attribute>`."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == cls]
    for method in (part for node in classes for part in node.body if isinstance(part, ast.FunctionDef)):
        ranks: dict[int, int] = {}
        for part in ast.walk(method):
            writes = _writes(part)
            for inner in ast.walk(part) if writes or _names(part, attribute) else ():
                if isinstance(inner, ast.expr) and _names(inner, attribute):
                    ranks[inner.lineno] = min(0 if writes else 1, ranks.get(inner.lineno, 1))
        made = method.name in ("__init__", "initialize")
        yield from (_Line(number, made, rank) for number, rank in sorted(ranks.items()))


def _writes(part: ast.AST) -> bool:
    """Return whether a part of the syntax tree changes the attributes inside it."""
    if isinstance(getattr(part, "ctx", None), ast.Store):
        return True
    if not isinstance(part, ast.Attribute):
        return False
    return part.attr in _CHANGING or (part.attr.endswith("_") and not part.attr.startswith("_"))


def _names(part: ast.AST, attribute: str) -> bool:
    """Return whether a part is `<something>.<attribute>`, or the name in `register_buffer`."""
    if isinstance(part, ast.Attribute):
        return part.attr == attribute
    return isinstance(part, ast.Constant) and part.value == attribute


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


def own_namespaces(net: nn.Module, *classes: type) -> dict[str, dict[str, Any]]:
    """Return what the user's classes and modules of Python keep for all nets, by their names.

    Args:
        net: whose classes are meant.
        classes: more classes.
    """
    found: dict[str, dict[str, Any]] = {}
    for cls in dict.fromkeys((*(type(module) for module in net.modules()), *classes)):
        for one in cls.__mro__:
            if is_own(one):
                found.setdefault(f"class {one.__qualname__}", _values(vars(one)))
                source = sys.modules.get(one.__module__)
                file = own_file(getattr(source, "__file__", None))
                if file is not None:
                    found.setdefault(file.name, _values(vars(source)))
    return found


def own_function(value: Any) -> bool:
    """Return whether this is a function that the user wrote."""
    return inspect.isfunction(value) and own_file(value.__code__.co_filename) is not None


def _values(namespace: Any) -> dict[str, Any]:
    """Return values that can change: neither classes and modules nor functions of others."""
    kinds: tuple[Any, ...] = (type, ModuleType, property)
    found = {}
    for key, value in dict(namespace).items():
        inner = getattr(value, "__func__", value)  # of a static method
        if own_function(inner):
            found[key] = inner
        elif not (key.startswith("__") or isinstance(value, kinds)) and (
            not callable(inner) or is_own(type(value))
        ):
            found[key] = value
    return found
