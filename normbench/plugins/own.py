"""Classes that are given from Python without a file, as plug-ins: `run(config, own=[MyNorm])`.

Each becomes the text of a file (`typed`), which is loaded like one: hashed, checked, kept with the results,
sent to workers. A class that is registered in a notebook or a script needs not be given; it is found.
"""

from __future__ import annotations

import inspect
import linecache
import re
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from torch import nn, optim
from torch.utils.data import Dataset

from normbench.errors import NormbenchError
from normbench.plugins.loader import is_owned, load_in_place, made
from normbench.plugins.sources import of_text
from normbench.plugins.typed import written_out
from normbench.registry import Named, extensibles, is_typed, registry_for

_INSTEAD = {  # what torch has, and what normbench trains in its place
    optim.Optimizer: "an optimizer is a `normbench.optimizers.Optimizer` (docs/your_own_optimizer.md)",
    Dataset: "a data set is a `normbench.data.DataOptions` (docs/your_own_data.md)",
}
_OPTION = (bool, int, float, str)  # types of arguments that become options


def load_own(classes: Sequence[type] = ()) -> None:
    """Load these classes, and those that a notebook or a script has registered, as plug-ins.

    Classes that were loaded before are loaded again if the notebook has changed since.

    Args:
        classes: each a `Normalization`, `Model`, `Optimizer`, `DataOptions` or other class that has a
            registry; or an `nn.Module`. A module whose `__init__` takes the number of features becomes a
            normalization, whose further arguments are its options; one that takes nothing an activation.
            Its name is that of the class: `my_norm` for `MyNorm`.

    Raises:
        NormbenchError: the source of one cannot be found, or it cannot be loaded.
    """
    for cls in classes:
        if not isinstance(cls, type):
            raise NormbenchError(
                f"own: found {cls!r}; give the class itself, whose source is recorded with the results"
            )
    mine = {_name(cls): cls for cls in [*(_now(cls) for cls in made()), *_registered(), *classes]}
    for name, cls in mine.items():
        text = written_out(cls, partial(_last_lines, cls, name))
        path = Path(f"<own {cls.__name__}>") / f"{name}.py"
        linecache.cache[str(path)] = (len(text), None, text.splitlines(keepends=True), str(path))
        plugin = of_text(text, path)
        if len(plugin.sources) > 1:
            beside = ", ".join(one.file for one in plugin.sources[1:])
            raise NormbenchError(
                f"own: {cls.__name__} uses {beside}, which may have changed since it was imported; put the "
                'class into a file beside it, and give that to a new process: plugins=["my_file.py"]'
            )
        load_in_place(plugin, cls)


def _now(cls: type) -> type:
    """Return the class that has a class's name in its module now: a cell may have been executed again."""
    found = getattr(sys.modules.get(cls.__module__), cls.__name__, cls)
    return found if isinstance(found, type) and _name(found) == _name(cls) else cls


def _registered() -> Iterable[type]:
    """Yield the classes that this notebook or script has registered itself."""
    for one in extensibles():
        for name, cls in list(one.entries.items()):
            own = name not in one.built_in and not is_owned(one.kind, name)
            if own and isinstance(cls, type) and (cls.__module__ == "__main__" or is_typed(cls)):
                yield cls


def _name(cls: type) -> str:
    """Return the name of a class in configs: its own, or `my_norm` for `MyNorm`."""
    if issubclass(cls, Named) and "name" in cls.model_fields:
        return cls.key()
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls.__name__).lower()


def _last_lines(cls: type, name: str) -> str:
    """Return the lines that register a class that no decorator registers."""
    for torchs, mend in _INSTEAD.items():
        if issubclass(cls, torchs):
            raise NormbenchError(f"own: {cls.__name__} is a torch {torchs.__name__}; here {mend}")
    if issubclass(cls, Named):
        registry_for(cls)
        return f"\n\nfrom normbench.registry import register\n\nregister({cls.__name__})\n"
    if not issubclass(cls, nn.Module):
        raise NormbenchError(
            f"own: {cls.__name__} is no class that can be trained; give an nn.Module, or a class derived "
            "from Normalization, Model, Optimizer or DataOptions of normbench"
        )
    arguments = list(inspect.signature(cls.__init__).parameters.values())[1:]
    if "__init__" not in vars(cls) or not arguments:
        imported = "from normbench.nn.layers import ACTIVATIONS"
        return f'\n\n{imported}\n\nACTIVATIONS.add("{name}")({cls.__name__})\n'
    return _as_normalization(cls, name, arguments)


def _as_normalization(cls: type, name: str, arguments: Sequence[inspect.Parameter]) -> str:
    """Return the text of a normalization whose layer is this module: its first argument is the features."""
    features, *others = arguments
    empty, kinds = features.empty, (features.VAR_POSITIONAL, features.VAR_KEYWORD)
    needed = [one.name for one in others if one.default is empty and one.kind not in kinds]
    if features.default is not empty or features.kind in (*kinds, features.KEYWORD_ONLY) or needed:
        raise NormbenchError(
            f"own: {cls.__name__}.__init__ must take the number of features, and further arguments with "
            f"defaults (found {', '.join(map(str, arguments))}); or take nothing, as an activation does"
        )
    options = {one.name: one.default for one in others if type(one.default) in _OPTION}
    if "name" in options:
        raise NormbenchError(
            f"own: {cls.__name__}.__init__ has an argument 'name', which is the name of the normalization in "
            "configs; call the argument otherwise"
        )
    fields = "".join(f"    {key}: {type(value).__name__} = {value!r}\n" for key, value in options.items())
    given = "".join(f", {key}=self.{key}" for key in options)
    summary = (inspect.getdoc(cls) or "").partition("\n")[0] if cls.__doc__ else ""
    return (
        "\n\nfrom typing import Literal as _Literal\n\n"
        "from normbench.norms import NORMS as _NORMS\n"
        "from normbench.norms import Normalization as _Normalization\n\n\n"
        f"@_NORMS.add\nclass _{cls.__name__}Options(_Normalization):\n"
        f"    {(summary or f'The module {cls.__name__}.')!r}\n\n"
        f'    name: _Literal["{name}"] = "{name}"\n{fields}\n'
        f"    def module(self, features):\n        return {cls.__name__}(features{given})\n"
    )
