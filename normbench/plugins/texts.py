"""The lines below a class or function of the user's that make it an entry of a registry."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from types import FunctionType
from typing import Any, Literal

from torch import nn, optim
from torch.utils.data import Dataset

from normbench.data.torch_set import Items
from normbench.errors import NormbenchError
from normbench.models import Model
from normbench.registry import Named, registry_for

# What a plain module or function is in a config; empty: as its arguments say.
Role = Literal["", "normalization", "activation", "model"]

_MODEL = ("input_shape", "classes")  # the arguments by which a plain module is known to be a model
_OPTION = (bool, int, float, str)  # types of arguments that become options
_GATHERED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_OPTIMIZER = '''\
own: {0} is a torch Optimizer. Its `step` counts and branches in Python for one run, which the runs of a \
stack cannot share. Write its rule in tensors, and give that (docs/your_own_optimizer.md):

from normbench.optimizers import Optimizer

class My{0}(Optimizer):
    """The gradient with momentum."""
    name: Literal["my_{1}"] = "my_{1}"
    def state(self, params):
        return {{"mean": {{name: torch.zeros_like(w) for name, w in params.items()}}}}
    def update(self, params, grads, state, hyper):
        for name, w in params.items():
            w.sub_(hyper["lr"] * state["mean"][name].mul_(0.9).add_(grads[name]))'''


def refuse_unfit(own: Any) -> None:
    """Raise a NormbenchError for what is no class or function that could be trained."""
    if isinstance(own, nn.Module):
        raise NormbenchError(
            f"own: found an object of {type(own).__name__}; give the class, or a function that makes the "
            "module, because each run has initial weights of its own"
        )
    if not isinstance(own, (type, FunctionType)):
        raise NormbenchError(
            f"own: found {str(own)[:80]}; give the class itself, whose source is recorded with the results"
        )
    if isinstance(own, FunctionType) or issubclass(own, (Named, nn.Module)):
        return
    if issubclass(own, optim.Optimizer):
        raise NormbenchError(_OPTIMIZER.format(own.__name__, own.__name__.lower()))
    if issubclass(own, Dataset):
        raise NormbenchError(
            f"own: {own.__name__} is the class of a torch Dataset; give the data sets themselves, such as "
            f"the pair ({own.__name__}(...), {own.__name__}(...)) of training and test set"
        )
    raise NormbenchError(
        f"own: {own.__name__} is no class that can be trained; give an nn.Module, or a class derived "
        "from Normalization, Model, Optimizer or DataOptions of normbench"
    )


def last_lines(own: Any, name: str, role: Role) -> str:
    """Return the lines that register a class or function that no decorator registers.

    Args:
        own: the class or function.
        name: in configs.
        role: of a plain module.

    Raises:
        NormbenchError: its arguments are those of nothing that can be trained, or no registry takes it.
    """
    if isinstance(own, type) and issubclass(own, Named):
        registry_for(own)
        return f"\n\nfrom normbench.registry import register\n\nregister({own.__name__})\n"
    arguments = list(inspect.signature(own).parameters.values())
    if "__init__" not in vars(own) and all(one.kind in _GATHERED for one in arguments):
        arguments = []  # those of nn.Module itself
    writer = {"normalization": _as_normalization, "activation": _as_activation, "model": _as_model}
    return writer[role or _role(own, arguments)](own, name, arguments)


def _role(own: Any, arguments: Sequence[inspect.Parameter]) -> str:
    """Return what a module or function must be by its arguments."""
    if any(one.name in _MODEL for one in arguments):
        return "model"
    if arguments:
        return "normalization"
    return "activation" if isinstance(own, type) else "model"


def _as_activation(cls: Any, name: str, arguments: Sequence[inspect.Parameter]) -> str:
    """Return the text of an activation, which is made with no arguments."""
    if not isinstance(cls, type) or _needed(arguments):
        raise NormbenchError(
            f"own: {_called(cls)} is given as an activation; it must be an nn.Module class whose __init__ "
            f"takes nothing, or arguments with defaults (found {_listed(arguments)})"
        )
    imported = "from normbench.nn.layers import ACTIVATIONS"
    return f'\n\n{imported}\n\nACTIVATIONS.add("{name}")({cls.__name__})\n'


def _as_normalization(cls: Any, name: str, arguments: Sequence[inspect.Parameter]) -> str:
    """Return the text of a normalization whose layer is this module: its first argument is the features."""
    features, others = (arguments[0], arguments[1:]) if arguments else (None, ())
    good = features is not None and features.default is features.empty
    if (
        features is None
        or not good
        or features.kind in (*_GATHERED, features.KEYWORD_ONLY)
        or _needed(others)
    ):
        raise NormbenchError(
            f"own: {_called(cls)} must take the number of features, and further arguments with defaults "
            f"(found {_listed(arguments)}); or take nothing, as an activation "
            "does; or `input_shape` and `classes`, as a model does"
        )
    fields, given = _options(cls, others, {"name": "normalization"})
    made = ", ".join(["features", *given])
    return _entry(
        cls,
        name,
        ("normbench.norms", "NORMS", "normbench.norms", "Normalization"),
        fields,
        f"    def module(self, features):\n        return {cls.__name__}({made})\n",
    )


def _as_model(own: Any, name: str, arguments: Sequence[inspect.Parameter]) -> str:
    """Return the text of a model whose net is this module, or what this function returns."""
    others = [one for one in arguments if one.name not in _MODEL]
    if needed := _needed(others):
        raise NormbenchError(
            f"own: {_called(own)} is given as a model, and {', '.join(needed)} has no value; it may take "
            "`input_shape` (C, H, W), `classes`, and arguments with defaults, which become options"
        )
    fields, given = _options(own, others, dict.fromkeys(Model.model_fields, "model"))
    made = ", ".join([*(f"{key}={key}" for key in _MODEL if key in {a.name for a in arguments}), *given])
    return _entry(
        own,
        name,
        ("normbench.models", "MODELS", "normbench.models.plain", "PlainModel"),
        fields,
        f"    def make(self, input_shape, classes):\n        return {own.__name__}({made})\n",
    )


def _called(own: Any) -> str:
    """Return the function that makes a module, as messages call it."""
    return f"{own.__name__}.__init__" if isinstance(own, type) else str(own.__name__)


def _listed(arguments: Sequence[inspect.Parameter]) -> str:
    return ", ".join(map(str, arguments)) or "none"


def _needed(arguments: Sequence[inspect.Parameter]) -> list[str]:
    """Return the names of the arguments that need a value."""
    return [one.name for one in arguments if one.default is one.empty and one.kind not in _GATHERED]


def _options(
    own: Any, arguments: Sequence[inspect.Parameter], taken: dict[str, str]
) -> tuple[str, list[str]]:
    """Return the fields of the options that arguments become, and how the options are handed over.

    Args:
        own: the class or function.
        arguments: with defaults.
        taken: names that options cannot have -> what has an option of this name already.
    """
    options = {one.name: one.default for one in arguments if type(one.default) in _OPTION}
    for key in options:
        if key in taken:
            whose = "which is the name in configs" if key == "name" else f"an option of each {taken[key]}"
            raise NormbenchError(
                f"own: {own.__name__} has an argument '{key}', {whose}; call the argument otherwise"
            )
    fields = "".join(f"    {key}: {type(value).__name__} = {value!r}\n" for key, value in options.items())
    return fields, [f"{key}=self.{key}" for key in options]


def _entry(own: Any, name: str, parts: tuple[str, str, str, str], fields: str, method: str) -> str:
    """Return the text of an options class.

    Args:
        own: the class or function that its method calls.
        name: in configs.
        parts: module and name of the registry, module and name of the base.
        fields: lines of its options.
        method: lines of its method.
    """
    place, registry, home, base = parts
    kind = "module" if isinstance(own, type) else "function"
    summary = (inspect.getdoc(own) or "").partition("\n")[0] if own.__doc__ else ""
    return (
        "\n\nfrom typing import Literal as _Literal\n\n"
        f"from {place} import {registry} as _{registry}\n"
        f"from {home} import {base} as _{base}\n\n\n"
        f"@_{registry}.add\nclass _{own.__name__}Options(_{base}):\n"
        f"    {(summary or f'The {kind} {own.__name__}.')!r}\n\n"
        f'    name: _Literal["{name}"] = "{name}"\n{fields}\n{method}'
    )


def of_items(name: str, items: Items) -> str:
    """Return the text of a data set whose items are kept in a file.

    Args:
        name: in configs.
        items: as they were read.
    """
    train, test = items.train, items.test
    return (
        "from typing import Literal\n\n"
        "from normbench.data import DATASETS\n"
        "from normbench.data.torch_set import TorchSet\n\n\n"
        "@DATASETS.add\nclass Given(TorchSet):\n"
        f"    {f'The data set {name}, given from Python.'!r}\n\n"
        f"    digest = {items.digest!r}\n"
        f"    input_shape = {tuple(train.x.shape[1:])!r}\n"
        f"    sizes = {(len(train.y), len(test.y))!r}\n"
        f"    class_names = {items.class_names!r}\n"
        f'    name: Literal["{name}"] = "{name}"\n'
    )
