"""What is given from Python without a file, as plug-ins: `run(config, own=[MyNorm])`.

Each becomes the text of a file (`typed` has that of classes, `texts` the lines that register them), which
is loaded like one: hashed, checked, kept with the results, sent to workers. The items of a data set are kept
in a file of their own, of which the text has the hash. A class that is registered in a notebook or a script
needs not be given; it is found.
"""

from __future__ import annotations

import linecache
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

from normbench.data import DATASETS
from normbench.data.root import data_root
from normbench.data.torch_set import is_given, items_of
from normbench.errors import NormbenchError
from normbench.plugins.loader import is_owned, load_in_place, made
from normbench.plugins.sources import of_text
from normbench.plugins.texts import Role, last_lines, of_items, refuse_unfit
from normbench.plugins.typed import written_out
from normbench.registry import Named, extensibles, is_typed

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Given:
    """Something given from Python; `role`: what it is in a config, where its place there says so."""

    what: Any
    role: Role = ""

    @property
    def title(self) -> str:
        """Return what messages call it."""
        first = self.what[0] if isinstance(self.what, tuple) else self.what
        return str(getattr(first, "__name__", type(first).__name__))


def load_own(own: Sequence[Any] = (), data_dir: str | Path | None = None) -> None:
    """Load what is given, and the classes that a notebook or a script has registered, as plug-ins.

    Classes that were loaded before are loaded again if the notebook has changed since.

    Args:
        own: classes, each a `Normalization`, `Model`, `Optimizer`, `DataOptions` or other class that has a
            registry; or an `nn.Module`. A module whose `__init__` takes the number of features becomes a
            normalization, one that takes `input_shape` or `classes` a model, one that takes nothing an
            activation. Further arguments are options. The name is that of the class: `my_norm` for `MyNorm`.
            Also a torch `Dataset`, or a pair (train, test), with the name that its attribute `name` or its
            class has.
        data_dir: folder of the data sets; it keeps the items of those that are given.

    Raises:
        NormbenchError: the source of a class cannot be found, something cannot be loaded, or a data set
            cannot be read.
    """
    given = [one if isinstance(one, Given) else Given(one) for one in own]
    _load_data([one.what for one in given if is_given(one.what)], data_dir)
    classes = [one for one in given if not is_given(one.what) and _entry(one.what) is None]
    for one in classes:
        refuse_unfit(one.what)
    mine = [*map(_now, made()), *map(Given, _registered()), *classes]
    for name, one in {name_of(one.what): one for one in mine}.items():
        text = written_out(one.what, partial(last_lines, one.what, name, one.role))
        _load(one.title, name, text, one)


def _load(title: str, name: str, text: str, given: Given | None) -> None:
    """Load a text under a name. `given`: what it is the text of, if that can be written out once more."""
    path = Path(f"<own {title}>") / f"{name}.py"
    linecache.cache[str(path)] = (len(text), None, text.splitlines(keepends=True), str(path))
    plugin = of_text(text, path)
    if len(plugin.sources) > 1:
        beside = ", ".join(one.file for one in plugin.sources[1:])
        raise NormbenchError(
            f"own: {title} uses {beside}, which may have changed since it was imported; put the "
            'class into a file beside it, and give that to a new process: plugins=["my_file.py"]'
        )
    load_in_place(plugin, given)


def _load_data(sets: Sequence[Any], data_dir: str | Path | None) -> None:
    """Read data sets, keep their items, and load their texts."""
    texts: dict[str, str] = {}
    for one in {id(one): one for one in sets}.values():
        name = name_of(one)
        mend = f'give it another name: `dataset.name = "my_{name}"` (of a pair, to the first one)'
        if name in DATASETS and not is_owned(DATASETS.kind, name):
            raise NormbenchError(f"own: the data set '{name}' has the name of one of normbench; {mend}")
        items = items_of(one, name)
        text = of_items(name, items)
        if texts.setdefault(name, text) != text:
            raise NormbenchError(f"own: two data sets are called '{name}'; {mend}")
        items.keep(data_root(None, data_dir))
    for name, text in texts.items():
        _load(name, name, text, None)


def _now(given: Given) -> Given:
    """Return what has the name of a class or function in its module now: a cell may be executed again."""
    what = given.what
    found = getattr(sys.modules.get(what.__module__), what.__name__, what)
    same = isinstance(found, (type, FunctionType)) and name_of(found) == name_of(what)
    return Given(found if same else what, given.role)


def _registered() -> Iterable[type]:
    """Yield the classes that this notebook or script has registered itself."""
    for one in extensibles():
        for name, cls in list(one.entries.items()):
            own = name not in one.built_in and not is_owned(one.kind, name)
            if own and isinstance(cls, type) and (cls.__module__ == "__main__" or is_typed(cls)):
                yield cls


def _entry(what: Any) -> str | None:
    """Return the name under which a class of normbench, or of a file, is registered already."""
    for one in extensibles():
        for name, entry in one.entries.items():
            if entry is what and (one.built_in.get(name) is what or is_owned(one.kind, name)):
                return name
    return None


def name_of(own: Any) -> str:
    """Return the name in configs of a class, function or data set: its own, or `my_norm` for `MyNorm`."""
    if is_given(own):
        first = own[0] if isinstance(own, tuple) else own
        given = getattr(first, "name", None)
        words = given if isinstance(given, str) else type(first).__name__
    elif (known := _entry(own)) is not None:
        return known
    elif isinstance(own, type) and issubclass(own, Named) and "name" in own.model_fields:
        return own.key()
    else:
        words = str(getattr(own, "__name__", own))
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\W_]+", "_", words).lower().strip("_")
    if not _NAME.fullmatch(name):
        raise NormbenchError(f"own: '{words}' gives no name for configs; use letters, digits and _ alone")
    return name
