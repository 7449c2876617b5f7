"""Loads plug-ins, and knows which of them registered what."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from normbench.errors import NormbenchError
from normbench.plugins import importing
from normbench.plugins.sources import Plugin, installed, named
from normbench.registry import SectionChoice, WordChoice, extensibles, restored

GROUP = "normbench.plugins"
_SCRIPTS = ("__main__", "__mp_main__")  # the script that was started, also as its workers import it

# Modules and names that plug-ins of version 0.1 import, and where they are now.
MOVED = {
    "normbench.layers": "normbench.nn.layers",
    "normbench.functional": "normbench.nn.functional",
    "normbench.gates": "normbench.nn.recurrent",
    "normbench.options": "normbench.registry",
    "normbench.data.Info": "normbench.data.RawInfo",
    "normbench.data.base.Info": "normbench.data.base.RawInfo",
    "normbench.stats": "normbench.stats.intervals and normbench.stats.outcome",
}

_loaded: dict[Path | str, Plugin] = {}  # by resolved path, or `package:entry point`
_owners: dict[tuple[str, str], Plugin] = {}  # (kind, name) -> where it came from
_entries: dict[tuple[str, str], Any] = {}  # (kind, name) -> what it registered
_made: dict[str, Any] = {}  # key of `_loaded` -> the class or function whose text was loaded


def loaded() -> tuple[Plugin, ...]:
    """Return what this process has loaded, in order."""
    return tuple(_loaded.values())


def load_plugins(files: Sequence[str | Path] = (), *, entry_points: bool = True) -> None:
    """Load the installed packages' plug-ins, then these files; what is loaded already is left as it is.

    Args:
        files: Python files, and folders that are packages.
        entry_points: whether the installed packages are asked, too.

    Raises:
        NormbenchError: a file that cannot be read, is not Python, raises an error, takes a name that is
            taken, registers nothing, or has changed since it was loaded; nothing of it is registered then.
    """
    for point in metadata.entry_points(group=GROUP) if entry_points else ():
        _load_entry_point(point)
    for file in files:
        path = Path(file)
        _load(named(path), path.resolve(), str(path))


def load_again(plugins: Sequence[Plugin]) -> None:
    """Load in a worker process what its parent has loaded: the same bytes, even if a file has changed."""
    load_plugins()
    for plugin in plugins:
        if plugin.path is not None:
            _forget_of_script(plugin)
            _load(plugin, plugin.path.resolve(), str(plugin.path))
        elif plugin.identity not in {one.identity for one in loaded()}:
            raise NormbenchError(
                f"{plugin.name} of {plugin.package}: is not installed where this worker is, or with other "
                "code than where the command was started; install the same version there, and start the "
                "command again"
            )


def _forget_of_script(plugin: Plugin) -> None:
    """Forget what the script, which a worker imports, has registered itself and this plug-in registers."""
    for one in extensibles():
        for name, value in list(one.entries.items()):
            own = _entry(one.kind, name) in plugin.registers and not is_owned(one.kind, name)
            if own and getattr(value, "__module__", "") in _SCRIPTS:
                del one.entries[name]


def load_kept(records: Iterable[Mapping[str, Any]], folder: Path) -> list[Plugin]:
    """Load the sources that a results folder keeps, except those whose names are registered already.

    Args:
        records: what `Plugin.record` told when they were kept.
        folder: where they are kept.

    Returns:
        What was loaded.

    Raises:
        NormbenchError: a kept file is missing or has changed.
    """
    done = []
    for record in records:
        there = {_entry(one.kind, name) for one in extensibles() for name in one.entries}
        if there & set(map(str, record["registers"])):
            continue
        place = folder / record["identity"][:16]
        main = Path(record["main"])
        package = len(main.parts) > 1 and record["module"]
        found = named(place / main.parts[0] if package else place / main)
        module, name = record["module"], record.get("file") or record["entry_point"]
        plugin = replace(found, name=name, package=record.get("package"), module=module, main=record["main"])
        if {one.file: one.tree for one in plugin.sources} != record["files"]:
            raise NormbenchError(
                f"{place}: is not as it was kept with these results; name the plug-in yourself "
                f"(--plugin {name})"
            )
        _load(plugin, place.resolve(), str(place / main))
        done.append(plugin)
    return done


def made() -> tuple[Any, ...]:
    """Return the classes and functions whose texts this process has loaded, as they were given."""
    return tuple(_made.values())


def load_in_place(plugin: Plugin, given: Any = None) -> None:
    """Load a text in place of what its class, or an earlier text of the same name, registered.

    Args:
        plugin: the text.
        given: what it is the text of, with the class or function in `what`; the class is not registered any
            more afterwards. None: a text that is not made once more.

    Raises:
        NormbenchError: the text raises an error, or takes a name that is taken by other code.
    """
    what = None if given is None else given.what
    key = f"own: {plugin.name}"
    for there in loaded():
        mine = [entry for entry, owner in _owners.items() if owner == there]
        if there.identity == plugin.identity and mine and all(is_owned(*entry) for entry in mine):
            _keep_made(key, given)
            return
    put_back = _remembered()
    before = _loaded.pop(key, None)
    for one in extensibles():
        for name, value in list(one.entries.items()):
            if value is what or (before is not None and _owners.get((one.kind, name)) == before):
                del one.entries[name]
                _owners.pop((one.kind, name), None)
    try:
        with _registering(plugin, key, str(plugin.path)):
            _execute(plugin)
    except NormbenchError:
        put_back()
        raise
    _keep_made(key, given)


def _keep_made(key: str, given: Any) -> None:
    _made.pop(key, None)
    if given is not None:
        _made[key] = given


def is_owned(kind: str, name: str) -> bool:
    """Return whether a plug-in registered what has this name now."""
    entry = next((one.entries.get(name) for one in extensibles() if one.kind == kind), None)
    return (kind, name) in _owners and _entries.get((kind, name)) is entry


def used_by(settings: Any) -> list[Plugin]:
    """Return the plug-ins that a cell takes something from, in a fixed order."""
    if not _owners:
        return []
    found = {_owners[entry] for entry in _chosen(settings) if is_owned(*entry)}
    return sorted(found, key=lambda plugin: plugin.identity)


def is_built_in(section: Any) -> bool:
    """Return whether all that a section and those below it choose from registries is ours."""
    known = {one.kind: one for one in extensibles()}
    return all(
        known[kind].entries.get(name) is known[kind].built_in.get(name) for kind, name in _chosen(section)
    )


def _chosen(section: Any) -> Iterator[tuple[str, str]]:
    """Yield kind and name of each entry of a registry that a section and those below it choose."""
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        for mark in field.metadata:
            if isinstance(mark, SectionChoice):
                yield mark.registry.kind, value.name
            elif isinstance(mark, WordChoice):
                yield from ((one.kind, value) for one in extensibles() if one.entries is mark.entries)
        if hasattr(type(value), "model_fields"):
            yield from _chosen(value)


def blame(error: BaseException) -> str | None:
    """Return `my_norm.py:12: TypeError: ...` for an error in a plug-in's file; None for others."""
    files = {str(one.path.resolve()): one.file for plugin in loaded() for one in plugin.sources}
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        place = str(Path(frame.filename).resolve())
        if place in files:
            return f"{files[place]}:{frame.lineno}: {type(error).__name__}: {error}"
    return None


def _load_entry_point(point: metadata.EntryPoint) -> None:
    package = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown package"
    key = f"{package}:{point.name}"
    if key in _loaded:
        return
    try:
        plugin = installed(point, package)
    except (NormbenchError, ModuleNotFoundError) as error:
        where = f"plug-in '{point.name}' of {package} ({point.module})"
        raise NormbenchError(f"{where}: {_sentence(error)}") from error
    main = next(one.path for one in plugin.sources if one.file == plugin.main)
    _load(plugin, key, f"plug-in '{point.name}' of {package} ({main})")


def _load(plugin: Plugin, key: Path | str, where: str) -> None:
    """Execute a plug-in, unless it is loaded already; `where` names it in messages."""
    before = _loaded.get(key)
    if before is not None:
        if before.identity != plugin.identity:
            changed = _changed(before, plugin)
            raise NormbenchError(
                f"{changed}: has changed since this process loaded it; start a new one (restart the kernel)"
            )
        return
    if any(one.identity == plugin.identity and one.module == plugin.module for one in loaded()):
        return  # the same code from another place, such as the copy in a results folder
    with _registering(plugin, key, where):
        if plugin.path is not None:
            importing.serve(plugin)
        if plugin.module:
            importlib.import_module(plugin.module)
        else:
            _execute(plugin)


def _changed(before: Plugin, now: Plugin) -> Path:
    """Return the file that differs; the first one if files came or went."""
    trees = {one.file: one.tree for one in before.sources}
    differing = [one.path for one in now.sources if trees.get(one.file) != one.tree]
    return differing[0] if differing else now.sources[0].path


def _execute(plugin: Plugin) -> None:
    """Run a file as a module whose name is the same in every process, so that its classes can be sent."""
    source = plugin.sources[0]
    name = f"normbench_plugin_{plugin.identity[:12]}"
    path = str(source.path)
    spec = importlib.util.spec_from_loader(name, loader=None, origin=path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = path
    sys.modules[name] = module
    before = _number_of_entries()
    try:
        exec(compile(source.data, path, "exec", dont_inherit=True), module.__dict__)
        if _number_of_entries() == before:
            _register_plain(module)
    except BaseException:
        del sys.modules[name]
        raise


def _number_of_entries() -> int:
    return sum(len(one.entries) for one in extensibles())


def _register_plain(module: ModuleType) -> None:
    """Register the only `nn.Module` class of a file that registers nothing, as `own` does in Python.

    Raises:
        NormbenchError: there are several, or its arguments are those of nothing that can be trained.
    """
    from normbench.plugins.own import name_of  # it imports this module
    from normbench.plugins.texts import last_lines

    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == module.__name__
    ]
    if len(found) > 1:
        raise NormbenchError(
            f"it registers nothing, and of its classes ({', '.join(one.__name__ for one in found)}) each "
            "could be meant; give one of them a class with a name and options (docs/your_own_layer.md)"
        )
    for cls in found:
        try:
            text = last_lines(cls, name_of(cls), "")
        except NormbenchError as error:
            raise NormbenchError(str(error).removeprefix("own: ")) from None
        exec(compile(text, str(module.__file__), "exec", dont_inherit=True), module.__dict__)


@contextmanager
def _registering(plugin: Plugin, key: Path | str, where: str) -> Iterator[None]:
    """Note what the code registers; an error becomes a sentence, and nothing stays registered."""
    put_back = _remembered()
    before = {id(one.entries): set(one.entries) for one in extensibles()}
    try:
        yield
        new = [
            (one.kind, name)
            for one in extensibles()  # some announce themselves when the plug-in imports them
            for name, entry in one.entries.items()
            if name not in before.get(id(one.entries), one.built_in)
            or _of_package(plugin, one.kind, name, entry)
        ]
        if not new:
            raise NormbenchError(
                "it registers nothing, and has no nn.Module class; see docs/your_own_layer.md"
            )
    except (Exception, SystemExit) as error:
        put_back()
        place = _place(error, plugin, where)
        raise NormbenchError(f"{place}: {_sentence(error)}") from error
    kept = replace(plugin, registers=tuple(sorted(_entry(kind, name) for kind, name in new)))
    _loaded[key] = kept
    _owners.update(dict.fromkeys(new, kept))
    there = {(one.kind, name): value for one in extensibles() for name, value in one.entries.items()}
    _entries.update({entry: there[entry] for entry in new})


def _entry(kind: str, name: str) -> str:
    return f"{kind}: {name}"


def _of_package(plugin: Plugin, kind: str, name: str, entry: Any) -> bool:
    """Return whether an installed package registered this when it was imported before, by other code."""
    top = plugin.module.partition(".")[0]
    where = str(getattr(entry, "__module__", "")).partition(".")[0]
    return plugin.path is None and where == top and (kind, name) not in _owners


def _sentence(error: BaseException) -> str:
    """Return what an error says; for a module of normbench that moved, where it is now."""
    if isinstance(error, NormbenchError):
        return str(error)
    old = _moved(error) if isinstance(error, ImportError) else None
    if old is not None:
        return f"{old} is {MOVED[old]} since version 0.2; change the import"
    return f"{type(error).__name__}: {error}"


def _moved(error: ImportError) -> str | None:
    """Return the module that moved and that an import asked for, by its old name; None if there is none."""
    name = re.match(r"cannot import name '(\w+)'", str(error))  # `from normbench import layers`
    candidates = (f"{error.name}.{name[1]}", error.name) if name else (error.name,)
    return next((old for old in candidates if old in MOVED), None)


def _place(error: BaseException, plugin: Plugin, where: str) -> str:
    """Return the file and the last line of the plug-in on the way to the error; `where` if there is none."""
    files = {str(one.path.resolve()): one for one in plugin.sources}
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        source = files.get(str(Path(frame.filename).resolve()))
        if source is not None:
            name = where if source.file == plugin.main else f"{where}: {source.path}"
            return f"{name}:{frame.lineno}"
    return where


@contextmanager
def unchanged() -> Iterator[None]:
    """Return a block after which nothing that it loads is registered: for tests, which share a process."""
    put_back = _remembered()
    with restored(_loaded, _owners, _entries, _made):  # type: ignore[arg-type]
        try:
            yield
        finally:
            put_back()


def _remembered() -> Callable[[], None]:
    """Return a function that puts all registries and importable modules back as they are now."""
    before = {id(one.entries): dict(one.entries) for one in extensibles()}
    served, modules = importing.served(), list(sys.modules)

    def put_back() -> None:
        for one in extensibles():
            old = before.get(id(one.entries), one.built_in)
            one.entries.clear()
            one.entries.update(old)
        importing.restore(served, modules)

    return put_back
