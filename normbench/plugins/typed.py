"""Classes from a notebook or a script as the text of a file, with all that they need from beside them.

The text is what is hashed, kept with the results, sent to workers, and executed: also in the process that
has the class already. So results are those of the recorded text, whatever the notebook does to the class.
"""

from __future__ import annotations

import ast
import builtins
import linecache
import math
import symtable
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from normbench.errors import NormbenchError
from normbench.nn.layers import Activations
from normbench.plugins.sources import INSTALLED
from normbench.registry import Registry

_PLAIN = (bool, int, float, str, bytes, type(None))


def written_out(cls: type | FunctionType, last: Callable[[], str]) -> str:
    """Return the text of a file that defines a class, with the imports, constants and functions it uses.

    A class of an installed package is imported, as a file would import it.

    Args:
        cls: the class, or a function.
        last: returns lines to put below it, unless a decorator registers the class.

    Raises:
        NormbenchError: its source, or that of something that it uses, cannot be found.
    """
    if _is_installed(cls):
        return f"from {cls.__module__} import {cls.__name__}\n{last()}"
    return _Writer(cls).text(last)


def _is_installed(cls: type | FunctionType) -> bool:
    """Return whether the module of a class is a file of an installed package, which has it by its name."""
    home = sys.modules.get(cls.__module__)
    file = getattr(home, "__file__", None)
    installed = file is not None and INSTALLED & set(Path(file).resolve().parents)
    return bool(installed) and getattr(home, cls.__name__, None) is cls


class _Writer:
    """Collects what a class needs, in the order in which a file has to have it."""

    def __init__(self, cls: type | FunctionType) -> None:
        self.cls = cls
        self.home = sys.modules.get(cls.__module__)
        if self.home is None or "<locals>" in cls.__qualname__ or "." in cls.__qualname__:
            raise self.refused("is defined within a function or another class")
        self.names = vars(self.home)
        self.imports: dict[str, str] = {}  # name -> statement
        self.constants: dict[str, str] = {}
        self.parts: list[str] = []
        self.seen: set[str] = set()
        self.registered = False  # whether a decorator above the class registers it

    def text(self, last: Callable[[], str]) -> str:
        """Return the whole text; `last` as for `written_out`."""
        self.define(self.cls.__name__, self.cls)
        future = "annotations" in self.names and not isinstance(self.names["annotations"], ModuleType)
        lines = ["from __future__ import annotations\n"] if future else []
        lines += [f"{line}\n" for line in sorted(set(self.imports.values()))]
        lines += [f"{self.constants[name]}\n" for name in sorted(self.constants)]
        return (
            "".join(lines)
            + "".join(f"\n\n{part}\n" for part in self.parts)
            + ("" if self.registered else last())
        )

    def refused(self, why: str) -> NormbenchError:
        """Return the error for a class that cannot be written out."""
        return NormbenchError(
            f"own: {self.cls.__name__} {why}, so its source cannot be recorded with the results; put it into "
            'a file, and give that: plugins=["my_file.py"]'
        )

    def define(self, name: str, value: Any) -> None:
        """Add the source of a class or function of the same module, after all that it uses."""
        self.seen.add(name)
        node, source = self.node_of(name, value)
        kept = [one for one in node.decorator_list if not self.registers(one)]
        if value is self.cls:  # what it uses is not registered with it
            self.registered = len(kept) < len(node.decorator_list)
            kept = node.decorator_list
        lines = source.splitlines()[node.lineno - 1 : node.end_lineno]
        text = "\n".join([*(f"@{ast.unparse(one)}" for one in kept), *lines])
        for used in _globals_of(text):
            if used not in self.seen and used in self.names:
                self.need(used, self.names[used])
        self.parts.append(text)

    def need(self, name: str, value: Any) -> None:
        """Add what a global name stands for."""
        self.seen.add(name)
        if (statement := self.imported(name, value)) is not None:
            self.imports[name] = statement
        elif isinstance(value, (type, FunctionType)) and value.__module__ == self.cls.__module__:
            if value.__name__ != name:
                raise self.refused(f"uses {name}, which is another name for {value.__name__}")
            self.define(name, value)
        elif _is_plain(value):
            self.constants[name] = f"{name} = {value!r}"
        elif not hasattr(builtins, name):
            raise self.refused(f"uses {name}, a value of type {type(value).__name__} made outside of it")

    def imported(self, name: str, value: Any) -> str | None:
        """Return the statement of the user's that imports this value under this name; the last one counts."""
        found = None
        for source in self.sources():
            for node in ast.walk(source):
                if isinstance(node, ast.Import):
                    for one in node.names:
                        bound = one.asname or one.name.partition(".")[0]
                        target = sys.modules.get(one.name if one.asname else bound)
                        if bound == name and target is value:
                            found = f"import {one.name} as {name}" if one.asname else f"import {one.name}"
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    for one in node.names:
                        target = _attribute(node.module or "", one.name)
                        if (one.asname or one.name) == name and target is value:
                            alias = f" as {name}" if one.asname else ""
                            found = f"from {node.module} import {one.name}{alias}"
        return found

    def sources(self) -> Iterator[ast.Module]:
        """Yield the syntax trees of the module: its file, or all cells that were executed, in order."""
        for text in self.texts():
            try:
                yield ast.parse(text)
            except SyntaxError:
                continue

    def texts(self) -> list[str]:
        """Return the texts of the module: of its file, or of all cells that were executed."""
        file = getattr(self.home, "__file__", None)
        if file is not None:
            return ["".join(linecache.getlines(file))]
        # IPython keeps the text of each cell there, without a time of change, since it is on no disk.
        return [
            "".join(entry[2])
            for entry in list(linecache.cache.values())
            if len(entry) == 4 and entry[1] is None
        ]

    def node_of(self, name: str, value: Any) -> tuple[ast.ClassDef | ast.FunctionDef, str]:
        """Return the statement that made a class or function, and the text that it stands in."""
        kind = ast.ClassDef if isinstance(value, type) else ast.FunctionDef
        for text in reversed(self.texts()):
            try:
                tree = ast.parse(text)
            except SyntaxError:
                continue
            for node in reversed(tree.body):
                if isinstance(node, kind) and node.name == name and _is_of(node, tree, value):
                    return node, text
        what = "has" if value is self.cls else f"uses {name}, which has"
        raise self.refused(f"{what} no source that can be found, or another one than when it was made")

    def registers(self, decorator: ast.expr) -> bool:
        """Return whether a decorator adds to a registry: `@NORMS.add`, `@ACTIVATIONS.add("name")`."""
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        return (
            isinstance(called, ast.Attribute)
            and called.attr == "add"
            and isinstance(called.value, ast.Name)
            and isinstance(self.names.get(called.value.id), (Registry, Activations))
        )


def _attribute(module: str, name: str) -> Any:
    """Return what `from module import name` gives, of modules that are imported already."""
    found = getattr(sys.modules.get(module), name, None)
    return sys.modules.get(f"{module}.{name}") if found is None else found


def _is_plain(value: Any) -> bool:
    """Return whether `repr` writes a value so that Python reads the same."""
    if isinstance(value, float):
        return math.isfinite(value)
    if type(value) in (tuple, list, set):
        return bool(value) and all(map(_is_plain, value))
    if type(value) is dict:
        return all(map(_is_plain, [*value, *value.values()]))
    return type(value) in _PLAIN


def _globals_of(text: str) -> list[str]:
    """Return the names that a statement takes from the module around it, sorted."""
    found: set[str] = set()
    waiting = [symtable.symtable(text, "<own>", "exec")]
    while waiting:
        table = waiting.pop()
        top = table.get_type() == "module"
        found.update(
            symbol.get_name()
            for symbol in table.get_symbols()
            if symbol.is_referenced() and (not symbol.is_assigned() if top else symbol.is_global())
        )
        waiting += table.get_children()
    return sorted(found)


def _is_of(node: ast.ClassDef | ast.FunctionDef, tree: ast.Module, value: Any) -> bool:
    """Return whether a statement gives this class or function: the code of each function is the same.

    Python makes other code where a name is imported in the same text. A file is compiled as a whole, IPython
    compiles each statement of a cell by itself.
    """
    first, last = min([node.lineno, *(one.lineno for one in node.decorator_list)]), node.end_lineno or 0
    written = {
        _content(one)
        for part in (tree, ast.Module([node], []))
        for one in _below(compile(part, "<own>", "exec", dont_inherit=True))
        if first <= one.co_firstlineno <= last
    }
    return all(_content(found) in written for found in _codes_of(value))


def _codes_of(value: Any) -> list[CodeType]:
    """Return the code of a function, or of the methods that a class defines itself."""
    if isinstance(value, FunctionType):
        return [value.__code__]
    functions = [getattr(one, "fget", None) or getattr(one, "__func__", one) for one in vars(value).values()]
    return [
        one.__code__
        for one in functions
        if isinstance(one, FunctionType)
        and one.__qualname__ == f"{value.__qualname__}.{one.__name__}"
        and one.__code__.co_filename != "<string>"  # written by dataclasses
    ]


def _below(code: CodeType) -> Iterator[CodeType]:
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield one
            yield from _below(one)


def _content(code: CodeType) -> tuple[Any, ...]:
    """Return what a function does, without where it stands."""
    consts = tuple(
        _content(one) if isinstance(one, CodeType) else (type(one), repr(one)) for one in code.co_consts
    )
    return code.co_name, code.co_code, code.co_names, code.co_varnames, code.co_freevars, consts
