"""Watches what a forward pass does beside returning a value: attributes that it sets, random numbers, dtypes.

The engine records one forward pass and replays it. So nothing in Python may change from one pass to the next.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from normbench.fidelity.places import is_own, own_namespaces

DEEPEST = 4  # levels of containers that are looked into
MOST = 1000  # entries of a container that are looked at

# Of an nn.Module, what torch keeps for itself.
_TORCH = frozenset(vars(nn.Module()))

Attribute = tuple[nn.Module, str]


def signature(value: Any, depth: int = 0) -> Any:
    """Return something that changes whenever a value changes; tensors and objects count by identity."""
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, torch.Size)):
        return type(value).__name__, repr(value)
    if isinstance(value, Tensor):
        return "tensor", id(value), value._version
    if isinstance(value, np.ndarray):
        return "array", value.shape, str(value.dtype), hash(value.tobytes())
    if isinstance(value, (np.random.Generator, np.random.RandomState)):
        state = value.bit_generator.state if isinstance(value, np.random.Generator) else value.get_state()
        return "generator", repr(state)
    if isinstance(value, random.Random):
        return "generator", hash(value.getstate())
    if isinstance(value, torch.Generator):
        return "generator", hash(value.get_state().numpy().tobytes())
    if isinstance(value, nn.Module) or depth >= DEEPEST:
        return "object", id(value)
    if isinstance(value, Mapping):
        return "dict", len(value), [(repr(k), signature(v, depth + 1)) for k, v in _first(value.items())]
    if isinstance(value, (list, tuple, deque)):
        return type(value).__name__, len(value), [signature(one, depth + 1) for one in _first(value)]
    if isinstance(value, (set, frozenset)):
        return "set", len(value), sorted(repr(one) for one in _first(value))
    inner = vars(value) if hasattr(value, "__dict__") and not callable(value) else {}
    return "object", id(value), [(key, signature(one, depth + 1)) for key, one in _first(inner.items())]


def _first(values: Any) -> list[Any]:
    return [one for _, one in zip(range(MOST), values, strict=False)]


def without_tensors(one: Any) -> Any:
    """Return a signature in which all tensors are equal."""
    if isinstance(one, tuple) and one[:1] == ("tensor",):
        return "tensor"
    if isinstance(one, (list, tuple)):
        return [without_tensors(part) for part in one]
    return one


def attributes(net: nn.Module) -> dict[Attribute, Any]:
    """Return the attributes of all modules that are neither parameters, buffers nor submodules."""
    return {
        (module, key): value
        for module in net.modules()
        for key, value in vars(module).items()
        if key not in _TORCH
    }


def signatures(net: nn.Module) -> dict[Attribute, Any]:
    """Return the signature of each of these attributes."""
    return {place: signature(value) for place, value in attributes(net).items()}


def shared_signatures(net: nn.Module) -> dict[str, Any]:
    """Return the signatures of what the user's classes and Python modules keep for all nets, by name."""
    return {
        f"{key} of {name}": without_tensors(signature(value))
        for name, values in own_namespaces(net).items()
        for key, value in values.items()
    }


def changed(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> list[Any]:
    """Return the keys whose signatures differ."""
    return [key for key in dict.fromkeys((*before, *after)) if before.get(key) != after.get(key)]


def kept_copy(value: Any) -> Any:
    """Return a copy of an attribute that a forward pass cannot change."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, dict):
        return {key: kept_copy(one) for key, one in value.items()}
    if type(value) in (list, tuple, deque):
        return type(value)(kept_copy(one) for one in value)
    return value


def random_states() -> dict[str, Any]:
    """Return the states of the generators that code reaches without a name, by what draws from them."""
    return {
        "torch": hash(torch.get_rng_state().numpy().tobytes()),
        "numpy": hash(repr(np.random.get_state())),
        "random": hash(random.getstate()),
    }


@dataclass
class Output:
    """What a module of the user returned in one call.

    Attributes:
        module: that was called.
        got: its first input.
        returned: its output.
    """

    module: nn.Module
    got: Any
    returned: Any

    def __str__(self) -> str:
        return f"it got {described(self.got)} and returned {described(self.returned)}"


def described(value: Any) -> str:
    """Return shape and dtype of a tensor, or the type of anything else."""
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    return "None" if value is None else f"a {type(value).__name__}"


@dataclass
class Watch:
    """What was seen in one forward pass.

    Attributes:
        outputs: of the user's modules, in the order in which they returned.
        draws: the modules that drew random numbers, innermost first, with the library that they drew from.
        infinite: the first module whose output is not finite although its inputs are.
    """

    outputs: list[Output] = field(default_factory=list)
    draws: list[tuple[nn.Module, str]] = field(default_factory=list)
    infinite: nn.Module | None = None


@contextmanager
def watching(net: nn.Module) -> Iterator[Watch]:
    """Record what the modules of a net do in a block."""
    watch = Watch()
    began: dict[nn.Module, dict[str, Any]] = {}

    def before(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        began[module] = random_states()

    def after(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        now = random_states()
        watch.draws += [(module, what) for what in changed(began.get(module, now), now)]
        if is_own(type(module)):
            watch.outputs.append(Output(module, inputs[0] if inputs else None, output))
        if watch.infinite is None and _finite(inputs) and not _finite((output,)):
            watch.infinite = module

    hooks: list[Any] = []
    for module in net.modules():
        hooks.append(module.register_forward_pre_hook(before))
        hooks.append(module.register_forward_hook(after))
    try:
        yield watch
    finally:
        for hook in hooks:
            hook.remove()


def _finite(values: tuple[Any, ...]) -> bool:
    tensors = [one for one in values if isinstance(one, Tensor) and one.is_floating_point()]
    return all(bool(torch.isfinite(one).all()) for one in tensors)


Restore = Callable[[], None]


def resetting(net: nn.Module, places: list[tuple[str, str]]) -> Restore:
    """Return a function that gives attributes their present values again.

    Args:
        net: whose attributes are meant.
        places: of each, the name of the module and the name of the attribute.
    """
    modules = dict(net.named_modules())
    missing = object()
    first = {(module, key): kept_copy(vars(modules[module]).get(key, missing)) for module, key in places}

    def restore() -> None:
        for (module, key), value in first.items():
            if value is missing:
                modules[module].__dict__.pop(key, None)
            else:
                modules[module].__dict__[key] = kept_copy(value)

    return restore
