"""How Python finds the files of a plug-in: under their own names, from the bytes that were hashed.

A module is imported by its bare name, as beside a script. So two files of one name cannot both be imported;
the second one is refused.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType

from normbench.errors import NormbenchError
from normbench.plugins.sources import INSTALLED, PACKAGE_FILE, Plugin, Source


@dataclass(frozen=True)
class _Module:
    """A module that is served: its file, or a folder without one (a namespace package)."""

    path: Path
    source: Source | None


_served: dict[str, _Module] = {}


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        module = _served.get(fullname)
        if module is None:
            return None
        if module.source is None:
            spec = ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [str(module.path)]
            return spec
        folder = [str(module.path.parent)] if module.path.name == PACKAGE_FILE else None
        return importlib.util.spec_from_file_location(
            fullname, module.path, loader=_Loader(module), submodule_search_locations=folder
        )


class _Loader(InspectLoader):
    """Executes the bytes that were hashed: the file, and Python's cache of it, may have changed since."""

    def __init__(self, module: _Module) -> None:
        assert module.source is not None
        self.path, self.data = module.path, module.source.data

    def get_source(self, fullname: str) -> str:
        return importlib.util.decode_source(self.data)

    def is_package(self, fullname: str) -> bool:
        return self.path.name == PACKAGE_FILE

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.data, str(self.path), "exec", dont_inherit=True)


_FINDER = _Finder()


def serve(plugin: Plugin) -> None:
    """Let Python find the modules of a plug-in, from now on.

    Raises:
        NormbenchError: another module has one of their names.
    """
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    modules = _modules(plugin)
    for name, module in modules.items():
        if "." not in name:
            _check_free(name, module)
    _served.update(modules)


def _modules(plugin: Plugin) -> dict[str, _Module]:
    sources = [one for one in plugin.sources if plugin.module or one.file != plugin.main]
    modules = {one.module: _Module(one.path.resolve(), one) for one in sources}
    for one in sources:
        folder, name = one.path.resolve().parent, one.module
        if one.path.name == PACKAGE_FILE:
            folder = folder.parent
        while "." in name:
            name = name.rpartition(".")[0]
            modules.setdefault(name, _Module(folder, None))
            folder = folder.parent
    return modules


def _check_free(name: str, module: _Module) -> None:
    """Refuse a name under which Python would find, or has found, another file."""
    known = _served.get(name)
    if known is not None:
        if known.path != module.path:
            raise NormbenchError(_two_of_a_name(name, module.path, known.path))
        if known.source and module.source and known.source.tree != module.source.tree:
            raise NormbenchError(
                f"{module.path}: has changed since this process loaded it; start a new one "
                "(restart the kernel)"
            )
        return
    if name in sys.modules:
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and Path(file).resolve() == module.path:
            raise NormbenchError(
                f"{module.path}: was imported before the plug-in that needs it, so that the file may have "
                "changed since; load the plug-in first (in a notebook: restart the kernel)"
            )
        raise NormbenchError(_two_of_a_name(name, module.path, file))
    if name in sys.stdlib_module_names:
        raise NormbenchError(_two_of_a_name(name, module.path, "Python's own module"))
    spec = importlib.util.find_spec(name)
    origin = Path(spec.origin).resolve() if spec and spec.origin and spec.has_location else None
    if origin is not None and origin != module.path and INSTALLED & set(origin.parents):
        raise NormbenchError(_two_of_a_name(name, module.path, origin))


def _two_of_a_name(name: str, path: Path, other: object) -> str:
    return f"{path}: the module '{name}' is there already ({other or 'built in'}); rename one of the two"


def served() -> dict[str, object]:
    """Return what is served now, for `restore`."""
    return dict(_served)


def restore(before: Mapping[str, object], modules: Iterable[str]) -> None:
    """Forget what is served since, and the modules imported of it; `modules` were imported before."""
    kept = set(modules)
    for name in _served.keys() - before.keys():
        del _served[name]
        if name not in kept:
            sys.modules.pop(name, None)
