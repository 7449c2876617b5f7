"""The files of a plug-in: the one that is named, and those that it imports from beside it; or a package."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path

from normbench.errors import NormbenchError
from normbench.plugins.syntax import parse, tree_hash

PACKAGE_FILE = "__init__.py"
_OURS = __name__.partition(".")[0]  # a plug-in may lie beside normbench itself
INSTALLED = frozenset(
    Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")
)


@dataclass(frozen=True)
class Source:
    """One file of a plug-in.

    Attributes:
        file: its name within the plug-in, with `/`: `my_norm.py`, `my_package/layers.py`.
        path: where it was read.
        data: its bytes, as they were read.
        tree: the hash of its syntax tree.
    """

    file: str
    path: Path
    data: bytes
    tree: str

    @property
    def module(self) -> str:
        """Return the name by which the other files import it."""
        return self.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@dataclass(frozen=True)
class Plugin:
    """Code that was loaded: files, or the entry point of an installed package (`package version`).

    Attributes:
        name: of the file or folder that was named, or of the entry point.
        package: that has the entry point, None for files.
        path: what was named, None for an installed package.
        module: what is imported to load it; empty for a single file, which is executed.
        main: the file within `sources` that it starts from.
        sources: all its files.
        registers: what it has registered, such as `normalization: clip`.
    """

    name: str
    package: str | None
    path: Path | None
    module: str
    main: str
    sources: tuple[Source, ...]
    registers: tuple[str, ...] = ()

    @cached_property
    def sha256(self) -> str:
        """Return the hash of the bytes of the main file. Run ids of version 0.2 are made of it."""
        (data,) = (one.data for one in self.sources if one.file == self.main)
        return hashlib.sha256(data).hexdigest()

    @cached_property
    def identity(self) -> str:
        """Return the hash of the syntax trees of all files, and of the part of a package that is imported.

        The names of the main file and of the package do not count, so that a rename changes nothing. Those of
        the other files do, because they are imported by name.
        """
        top, _, part = self.module.partition(".")
        trees = []
        for one in self.sources:
            inside = bool(top) and one.file.startswith(f"{top}/")
            alone = one.file == self.main and not inside
            trees.append(["" if alone else one.file.removeprefix(top) if inside else one.file, one.tree])
        return hashlib.sha256(json.dumps([part, sorted(trees)]).encode()).hexdigest()

    @property
    def folder(self) -> str:
        """Return the name of the folder in which a results folder keeps the sources."""
        return self.identity[:16]

    def record(self) -> dict[str, object]:
        """Return what environment.json tells; no folder of the machine."""
        source = {"file": self.name} if self.package is None else {"entry_point": self.name}
        package = {} if self.package is None else {"package": self.package}
        return {
            **source,
            **package,
            "sha256": self.sha256,
            "identity": self.identity,
            "main": self.main,
            "module": self.module,
            "files": {one.file: one.tree for one in self.sources},
            "registers": list(self.registers),
        }


def named(path: Path) -> Plugin:
    """Return the plug-in of a file, or of a folder that is a package.

    Raises:
        NormbenchError: it cannot be read, is not Python, or is a folder without `__init__.py`.
    """
    root, top = path.parent, path.resolve().name
    if not path.is_dir():
        sources = _with_siblings(root, [_read(path, top)])
        return Plugin(top, None, path, "", top, tuple(sources))
    if not (path / PACKAGE_FILE).is_file():
        raise NormbenchError(
            f"--plugin: {path} is a folder without {PACKAGE_FILE}; name a Python file, or a package"
        )
    if not top.isidentifier():
        raise NormbenchError(f"--plugin: {path}: '{top}' cannot be imported; use letters, digits and _ alone")
    sources = _with_siblings(path.resolve().parent, list(_below(path, top)))
    return Plugin(top, None, path, top, f"{top}/{PACKAGE_FILE}", tuple(sources))


def of_text(text: str, path: Path) -> Plugin:
    """Return the plug-in of a text that is no file on the disk; `path` names it in messages.

    Raises:
        NormbenchError: it is not Python.
    """
    data = text.encode("utf-8")
    source = Source(path.name, path, data, tree_hash(parse(data, str(path))))
    return Plugin(path.name, None, path, "", path.name, tuple(_with_siblings(Path.cwd(), [source])))


def installed(point: metadata.EntryPoint, package: str) -> Plugin:
    """Return the plug-in of an entry point, with all Python files of its top-level package.

    Raises:
        NormbenchError: there is no Python file by which its versions could be told apart.
    """
    top = point.module.partition(".")[0]
    spec = importlib.util.find_spec(top)  # of the top alone: to find a part of it would import the top
    sources: list[Source] = []
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        sources += _below(Path(folder), top)
    if spec and spec.origin and not sources and spec.origin.endswith(".py"):
        sources.append(_read(Path(spec.origin), f"{top}.py"))
    if spec is None:
        raise ModuleNotFoundError(f"No module named '{top}'", name=top)
    if not sources:
        raise NormbenchError("it has no Python file, so that its versions cannot be told apart")
    stem = point.module.replace(".", "/")
    files = {one.file: one for one in sources}
    main = files.get(f"{stem}.py") or files.get(f"{stem}/{PACKAGE_FILE}")
    if main is None:
        raise ModuleNotFoundError(f"No module named '{point.module}'", name=point.module)
    return Plugin(point.name, package, None, point.module, main.file, tuple(sources))


def _read(path: Path, file: str) -> Source:
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise NormbenchError(f"--plugin: {path} cannot be read ({reason}); name a Python file") from None
    return Source(file, path, data, tree_hash(parse(data, str(path))))


def _below(folder: Path, prefix: str) -> Iterator[Source]:
    """Yield every Python file of a package; hidden folders and caches are left out."""
    for path in sorted(folder.rglob("*.py")):
        inner = path.relative_to(folder)
        if not any(part.startswith(".") or part == "__pycache__" for part in inner.parts):
            yield _read(path, f"{prefix}/{inner.as_posix()}")


def _with_siblings(root: Path, sources: list[Source]) -> list[Source]:
    """Return the sources and all that they import from beside them, also within functions.

    Python runs an import in a function when the training has begun; the identity is needed before. So the
    imports are read from the syntax tree.
    """
    main = sources[0]
    found = {one.file: one for one in sources}
    tops = {one.module.partition(".")[0] for one in sources}
    if root.resolve() in INSTALLED:
        return sources
    waiting = list(sources)
    while waiting:
        one = waiting.pop()
        for name, line in _imports(one):
            if name == main.module and main.file == f"{name}.py" and one is not main:
                raise NormbenchError(
                    f"{one.path}:{line}: imports {main.path.name}, which is the plug-in itself; move what "
                    "both need into a file of its own"
                )
            if name in tops or name == _OURS:
                continue
            new = _beside(root, name)
            tops.add(name)
            found.update((source.file, source) for source in new)
            waiting += new
    return [main, *(found[file] for file in sorted(found) if file != main.file)]


def _beside(root: Path, name: str) -> list[Source]:
    """Return the files of a module in this folder: a file, a package, or a folder with Python files."""
    if (root / name).is_dir():
        package = list(_below(root / name, name))
        if package and ((root / name / PACKAGE_FILE).is_file() or not (root / f"{name}.py").is_file()):
            return package
    return [_read(root / f"{name}.py", f"{name}.py")] if (root / f"{name}.py").is_file() else []


def _imports(source: Source) -> Iterator[tuple[str, int]]:
    """Yield the top-level name and the line of each absolute import in a file."""
    for node in ast.walk(parse(source.data, str(source.path))):
        if isinstance(node, ast.Import):
            names: Iterable[str] = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level and "/" not in source.file:
                raise NormbenchError(
                    f"{source.path}:{node.lineno}: imports relative to a package; name the package's folder "
                    f"(--plugin {source.path.resolve().parent.name})"
                )
            names = [node.module or ""] if not node.level else []
        elif isinstance(node, ast.Call):
            names = _by_call(node)
        else:
            continue
        for name in names:
            yield name.partition(".")[0], node.lineno


def _by_call(node: ast.Call) -> list[str]:
    """Return the module that `importlib.import_module("name")` or `__import__("name")` names."""
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    first = node.args[0] if node.args else None
    if called in ("import_module", "__import__") and isinstance(first, ast.Constant):
        return [first.value] if isinstance(first.value, str) else []
    return []
