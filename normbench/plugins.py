"""A user's own normalizations, models, activations, data sets and optimizers, beside the built-in ones.

They come from files that are named on the command line (`--plugin my_norm.py`) or in `api.run(plugins=...)`,
and from installed packages with an entry point in the group `normbench.plugins`. A config never loads code.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normbench.config.schema import Settings
from normbench.data import DATASETS
from normbench.errors import NormbenchError
from normbench.models import MODELS
from normbench.nn.layers import ACTIVATIONS
from normbench.norms import NORMS
from normbench.optimizers import OPTIMIZERS
from normbench.registry import restored

if TYPE_CHECKING:
    from types import CodeType

GROUP = "normbench.plugins"

# Modules that plug-ins of version 0.1 import, and where they are now.
MOVED = {
    "normbench.layers": "normbench.nn.layers",
    "normbench.functional": "normbench.nn.functional",
    "normbench.gates": "normbench.nn.recurrent",
    "normbench.options": "normbench.registry",
    "normbench.stats": "normbench.stats.intervals and normbench.stats.outcome",
}

# What can be extended, by the kind of thing that a cell's settings name.
REGISTRIES: dict[str, MutableMapping[str, Any]] = {
    "norm": NORMS.entries,
    "model": MODELS.entries,
    "activation": ACTIVATIONS,
    "data": DATASETS.entries,
    "optimizer": OPTIMIZERS.entries,
}


@dataclass(frozen=True)
class Plugin:
    """Code that was loaded: a file, or the entry point of an installed package (`package version`)."""

    name: str  # of the file, or of the entry point
    package: str | None
    path: Path | None
    sha256: str  # of the file, or of the file of the entry point's module

    def record(self) -> dict[str, str]:
        """Return what environment.json tells; no folder of the machine."""
        source = {"file": self.name} if self.package is None else {"entry_point": self.name}
        package = {} if self.package is None else {"package": self.package}
        return {**source, **package, "sha256": self.sha256}


_loaded: dict[Path | str, Plugin] = {}  # by resolved path, or `package:entry point`
_owners: dict[tuple[str, str], Plugin] = {}  # (kind, name) -> where it came from


def loaded() -> tuple[Plugin, ...]:
    """Return what this process has loaded, in order."""
    return tuple(_loaded.values())


def load_plugins(files: Sequence[str | Path] = ()) -> None:
    """Load the installed packages' plug-ins, then these files; what is loaded already is left as it is.

    Raises:
        NormbenchError: a file that cannot be read, is not Python, raises an error, takes a name that is
            taken, registers nothing, or has changed since it was loaded; nothing of it is registered then.
    """
    for point in metadata.entry_points(group=GROUP):
        _load_entry_point(point)
    for file in files:
        _load_file(Path(file))


def load_again(plugins: Sequence[Plugin]) -> None:
    """Load in a worker process what its parent has loaded, and nothing else that may have changed since."""
    load_plugins([plugin.path for plugin in plugins if plugin.path is not None])
    now = {plugin.name: plugin.sha256 for plugin in loaded()}
    changed = [plugin.name for plugin in plugins if now.get(plugin.name) != plugin.sha256]
    if changed:
        raise NormbenchError(f"{changed[0]}: changed while its runs were trained; start the command again")


def used_by(settings: Settings) -> list[Plugin]:
    """Return the plug-ins that a cell takes something from, in a fixed order."""
    model: Any = settings.model
    names = {
        "norm": model.norm.name,
        "model": model.name,
        "activation": model.activation,
        "data": settings.data.name,
        "optimizer": settings.optimizer.name,
    }
    found = {_owners[entry] for entry in names.items() if entry in _owners}
    return sorted(found, key=lambda plugin: plugin.sha256)


def blame(error: Exception) -> str | None:
    """Return `my_norm.py:12: TypeError: ...` if the error comes out of a loaded file, else None."""
    files = {str(plugin.path): plugin.name for plugin in loaded()}
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        place = str(Path(frame.filename).resolve())
        if place in files:
            return f"{files[place]}:{frame.lineno}: {type(error).__name__}: {error}"
    return None


def _load_file(path: Path) -> None:
    try:
        place, source = path.resolve(), path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise NormbenchError(f"--plugin: {path} cannot be read ({reason}); name a Python file") from None
    digest = hashlib.sha256(source).hexdigest()
    if place in _loaded:
        if _loaded[place].sha256 != digest:
            raise NormbenchError(
                f"{path}: has changed since this process loaded it; start a new one (restart the kernel)"
            )
        return
    plugin = Plugin(path.name, None, place, digest)
    try:
        code = compile(source, str(path), "exec")
    except (SyntaxError, ValueError) as error:  # ValueError: null bytes
        line = f":{getattr(error, 'lineno', None) or 1}:{getattr(error, 'offset', None) or 1}"
        raise NormbenchError(f"{path}{line}: not Python: {getattr(error, 'msg', error)}") from None
    with _registering(plugin, place, str(path)):
        _execute(code, path, digest)


def _execute(code: CodeType, path: Path, digest: str) -> None:
    """Run the file as a module whose name is the same in every process, so that its classes can be sent."""
    name = f"normbench_plugin_{digest[:12]}"
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    sys.modules[name] = module
    try:
        exec(code, module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise


def _load_entry_point(point: metadata.EntryPoint) -> None:
    package = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown package"
    key = f"{package}:{point.name}"
    if key in _loaded:
        return
    spec = importlib.util.find_spec(point.module)
    origin = Path(spec.origin) if spec and spec.origin else None
    digest = hashlib.sha256(origin.read_bytes()).hexdigest() if origin and origin.is_file() else ""
    where = f"plug-in '{point.name}' of {package} ({origin or point.module})"
    with _registering(Plugin(point.name, package, None, digest), key, where):
        point.load()


@contextmanager
def _registering(plugin: Plugin, key: Path | str, where: str) -> Iterator[None]:
    """Note what the code registers; an error becomes a sentence, and nothing stays registered."""
    before = {kind: dict(entries) for kind, entries in REGISTRIES.items()}
    try:
        yield
        new = [(kind, name) for kind, entries in REGISTRIES.items() for name in entries.keys() - before[kind]]
        if not new:
            raise NormbenchError("it registers nothing; put `@NORMS.add`, say, above the class")
    except (Exception, SystemExit) as error:
        for kind, entries in REGISTRIES.items():
            entries.clear()
            entries.update(before[kind])
        raise NormbenchError(f"{where}{_line(error, where)}: {_sentence(error)}") from error
    _loaded[key] = plugin
    _owners.update(dict.fromkeys(new, plugin))


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


def _line(error: BaseException, path: str) -> str:
    """Return `:12` for the last line of this file on the way to the error."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return f":{lines[-1]}" if lines else ""


def unchanged() -> AbstractContextManager[None]:
    """Return a block after which nothing that it loads is registered: for tests, which share a process."""
    return restored(*REGISTRIES.values(), _loaded, _owners)  # type: ignore[arg-type]
