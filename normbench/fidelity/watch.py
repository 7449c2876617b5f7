"""Watches what a forward pass does beside returning a value: attributes that it sets, random numbers, dtypes.

The engine records one forward pass and replays it. So nothing in Python may change from one pass to the next.
"""

from __future__ import annotations

import functools
import inspect
import operator
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CellType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from normbench.fidelity.places import is_own, own_file, own_function, own_namespaces
from normbench.names import WHOLE_STACK

DEEPEST = 4  # levels of containers that are looked into
MOST = 1000  # entries of a container that are looked at

# Of an nn.Module, what torch keeps for itself.
TORCH = frozenset(vars(nn.Module()))

Attribute = tuple[nn.Module, str]


class _Identity:
    """Equal only for the same object. It holds the object, so that no later one gets its address."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def signature(value: Any, depth: int = 0) -> Any:
    """Return something that changes whenever a value changes; tensors and objects count by identity."""
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, torch.Size)):
        return type(value).__name__, repr(value)
    if isinstance(value, Tensor):
        return "tensor", _Identity(value), value._version
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
        return "object", _Identity(value)
    if isinstance(value, Mapping):
        return "dict", len(value), [(repr(k), signature(v, depth + 1)) for k, v in _first(value.items())]
    if isinstance(value, (list, tuple, deque)):
        return type(value).__name__, len(value), [signature(one, depth + 1) for one in _first(value)]
    if isinstance(value, (set, frozenset)):
        return "set", len(value), sorted(repr(one) for one in _first(value))
    inner = _inside(value)
    return (
        "object",
        _Identity(value),
        [(key, signature(one, depth + 1)) for key, one in _first(inner.items())],
    )


def _inside(value: Any) -> dict[str, Any]:
    """Return what an object, a function or an iterator keeps, by name."""
    if inspect.isgenerator(value):
        frame = value.gi_frame
        return {} if frame is None else {"line": frame.f_lasti, **frame.f_locals}
    if isinstance(value, functools.partial):
        return {"function": value.func, "args": value.args, "keywords": value.keywords}
    if inspect.ismethod(value):
        return {"function": value.__func__, "owner": value.__self__}
    if inspect.isfunction(value):
        if not own_function(value):
            return {}
        cells = [cell.cell_contents for cell in value.__closure__ or () if _filled(cell)]
        defaults = {"defaults": value.__defaults__, "keywords": value.__kwdefaults__}
        return {**{str(index): cell for index, cell in enumerate(cells)}, **defaults, **vars(value)}
    if isinstance(value, Iterator):
        return {"repr": repr(value), "left": operator.length_hint(value, 0)}
    if isinstance(value, (type, ModuleType)) or (callable(value) and not is_own(type(value))):
        return {}
    names = [name for cls in type(value).__mro__ for name in getattr(cls, "__slots__", ())]
    slots = {name: getattr(value, name) for name in names if isinstance(name, str) and hasattr(value, name)}
    return {**slots, **getattr(value, "__dict__", {})}


def _filled(cell: CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # its variable has no value yet
        return False


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
    """Return the attributes of all modules that are neither parameters, buffers nor submodules.

    Hooks count too, because they may keep something, and so do attributes of parameters and buffers.
    """
    return {
        (module, key): value
        for module in net.modules()
        for key, value in vars(module).items()
        if key not in TORCH or (key.endswith("_hooks") and value)
    } | {
        (module, key): vars(tensor)
        for module in net.modules()
        for key, tensor in (*module._parameters.items(), *module._buffers.items())
        if tensor is not None and vars(tensor)
    }


def signatures(net: nn.Module) -> dict[Attribute, Any]:
    """Return the signature of each of these attributes."""
    return {place: signature(value) for place, value in attributes(net).items()}


def shared_signatures(net: nn.Module, *classes: type) -> dict[str, Any]:
    """Return the signatures of what the user's classes and Python modules keep for all nets, by name."""
    return {
        f"'{key}' of {name}": without_tensors(signature(value))
        for name, values in own_namespaces(net, *classes).items()
        for key, value in values.items()
    }


def changed(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> list[Any]:
    """Return the keys whose signatures differ."""
    return [key for key in dict.fromkeys((*before, *after)) if before.get(key) != after.get(key)]


def kept_copy(value: Any) -> Any:
    """Return a copy of an attribute that a forward pass cannot change. Parameters stay themselves."""
    if isinstance(value, nn.Parameter):
        return value
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
        inside: the user's modules that have not returned, outermost first, with their first inputs; after an
            error, the last one raised it or called what did.
    """

    outputs: list[Output] = field(default_factory=list)
    draws: list[tuple[nn.Module, str]] = field(default_factory=list)
    infinite: nn.Module | None = None
    inside: list[tuple[nn.Module, Any]] = field(default_factory=list)


@contextmanager
def watching(net: nn.Module) -> Iterator[Watch]:
    """Record what the modules of a net do in a block."""
    watch = Watch()
    began: dict[nn.Module, dict[str, Any]] = {}

    def before(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        began[module] = random_states()
        if is_own(type(module)):
            watch.inside.append((module, inputs[0] if inputs else None))

    def after(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        now = random_states()
        watch.draws += [(module, what) for what in changed(began.get(module, now), now)]
        if is_own(type(module)):
            watch.inside.pop()
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


# Calls that no recorded program repeats, and the executors that can.
_VALUES = {
    getattr(Tensor, name): name
    for name in ("numpy", "__array__", "tolist", "__dlpack__", "storage", "untyped_storage", "data_ptr")
}
_HOOKS = {
    getattr(Tensor, name): name
    for name in ("register_hook", "register_post_accumulate_grad_hook", "retain_grad")
}


class Calls(TorchFunctionMode):
    """Notes the calls of a plug-in that an executor cannot repeat, though it may not notice.

    The trace keeps a value that was read by `x.numpy()` as it was, and `vmap` loses the hooks of tensors.

    Attributes:
        barred: by executor, the sentence that says why it cannot train the plug-in.
    """

    def __init__(self) -> None:
        super().__init__()
        self.barred: dict[str, str] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in _VALUES and (place := _caller()):
            for executor in (*WHOLE_STACK, "looped"):
                text = f"{place}: it reads the values of a tensor in Python (`{_VALUES[func]}`)"
                self.barred.setdefault(executor, text)
        if func in _HOOKS and (place := _caller()):
            for executor in WHOLE_STACK:
                self.barred.setdefault(executor, f"{place}: it puts a hook on a tensor (`{_HOOKS[func]}`)")
        return func(*args, **(kwargs or {}))


def _caller() -> str:
    """Return `file:line` of the user's code that makes a call, or an empty text if normbench makes it."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    while frame is not None and not frame.f_globals.get("__name__", "").startswith("normbench."):
        path = own_file(frame.f_code.co_filename)
        if path is not None:
            return f"{path.name}:{frame.f_lineno}"
        frame = frame.f_back
    return ""
