"""Looks at a net as its plug-ins make it, before anything runs: parts that the engine cannot hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from normbench.errors import NormbenchError
from normbench.fidelity.case import Case
from normbench.fidelity.fault import FaultError, first_sentence, place_in, place_of_options
from normbench.fidelity.places import is_own, name_of, place_of_error
from normbench.fidelity.watch import TORCH, Attribute, attributes
from normbench.seeding import key, seeded


def check_made(case: Case) -> None:
    """Raise a FaultError if a net has parts that cannot be trained in a stack, or cannot be made."""
    run, info = case.runs[0], case.info
    try:
        with seeded(key(run.seed, "build")):
            net = run.settings.model.build(info.input_shape, info.classes)
    except NormbenchError:
        raise
    except (Exception, SystemExit) as error:
        where = place_of_error(error) or place_of_options(run.settings)
        raise FaultError(f"{where}: {first_sentence(error)} (while the net is made)") from error
    for module in net.modules():
        _check_module(module, net)
    for name, param in net.named_parameters():
        if param._backward_hooks or getattr(param, "_post_accumulate_grad_hooks", None):
            owner, _, attribute = name.rpartition(".")
            raise FaultError(
                f"{place_in(net, net.get_submodule(owner), attribute, made=True)}: the parameter '{name}' "
                "has a hook, which a stack would not call; change the gradient in the layer "
                "(torch.autograd.Function), or use optimizer.clip_norm"
            )
    for name, tensor in (*net.named_parameters(), *net.named_buffers()):
        if tensor.is_complex():
            owner, _, attribute = name.rpartition(".")
            raise FaultError(
                f"{place_in(net, net.get_submodule(owner), attribute, made=True)}: '{name}' is complex, and "
                "the conversion to the dtype of the training would cut its imaginary part; keep two real "
                "tensors and join them by `torch.complex` in `forward`"
            )
    _check_attributes(net)


def _check_module(module: nn.Module, net: nn.Module) -> None:
    kind = type(module).__name__
    if isinstance(module, LazyModuleMixin) and module.has_uninitialized_params():  # type: ignore[misc]
        raise FaultError(
            f"{place_in(net, module, made=True)}: {name_of(net, module)} gets its shape from the first "
            f"batch; use {kind.removeprefix('Lazy')} with the number of features that `module(features)` gets"
        )
    if isinstance(module, torch.jit.ScriptModule):
        raise FaultError(
            f"{place_in(net, module, made=True)}: {name_of(net, module)} is a module of torch.jit, whose "
            "parameters cannot be replaced by those of a run; use the module as it was before torch.jit"
        )


def _check_attributes(net: nn.Module) -> None:
    """Raise a FaultError for modules and parameters in plain lists and the like, which nothing trains."""
    known = set(net.modules())
    for (module, name), value in attributes(net).items():
        if not is_own(type(module)):
            continue
        for part in _parts(value):
            where = place_in(net, module, name, made=True)
            what = f"{where}: {name_of(net, module)}: `self.{name}` (a {type(value).__name__}) holds"
            if isinstance(part, nn.Module) and part not in known and _has_tensors(part):
                raise FaultError(
                    f"{what} a module, {type(part).__name__}, which is no part of the net: nothing trains "
                    "its parameters; use nn.ModuleList or nn.ModuleDict"
                )
            if isinstance(part, Tensor) and part.requires_grad and part.is_leaf:
                raise FaultError(
                    f"{what} a tensor that needs a gradient, and all runs of a stack would share it; use "
                    "nn.Parameter, nn.ParameterList or nn.ParameterDict, and read it from there"
                )
            if isinstance(part, Tensor) and part.requires_grad and not module._forward_pre_hooks:
                raise FaultError(
                    f"{what} what was computed from a parameter once, and would not follow the parameter of "
                    "each run; compute it in `forward`"
                )


def shared_memory(net: nn.Module) -> str | None:
    """Return the sentence for two tensors that share memory, which they do not in a stack, or None."""
    seen: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in (*net.named_parameters(), *net.named_buffers()):
        other, held = seen.setdefault(tensor.untyped_storage().data_ptr(), (name, tensor))
        if held is not tensor and tensor.numel():
            owner, _, attribute = name.rpartition(".")
            return (
                f"{place_in(net, net.get_submodule(owner), attribute, made=True)}: '{name}' shares its "
                f"memory with '{other}', which it does not in a stack; compute one from the other in "
                "`forward`"
            )
    return None


def _has_tensors(module: nn.Module) -> bool:
    return any(True for _ in module.parameters()) or any(True for _ in module.buffers())


def _parts(value: Any) -> Iterator[Any]:
    """Yield a value, or what a list, tuple or dict holds."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from _parts(part)
    else:
        yield value


def other_attribute(one: nn.Module, other: nn.Module) -> tuple[Attribute, Any, Any] | None:
    """Return an attribute of the user's layers that differs between two nets, with its values, or None."""
    names = dict(other.named_modules())
    for name, module in one.named_modules():
        if not is_own(type(module)) or name not in names:
            continue
        theirs = vars(names[name])
        for attribute, value in vars(module).items():
            if attribute not in TORCH and not _same(value, theirs.get(attribute)):
                return (module, attribute), value, theirs.get(attribute)
    return None


def _same(one: Any, other: Any) -> bool:
    """Return whether two values are equal; objects that are no plain data count as equal."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and torch.equal(one, other)
    if isinstance(one, (bool, int, float, complex, str)) or isinstance(
        other, (bool, int, float, complex, str)
    ):
        return type(one) is type(other) and (one == other or one != one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())
    return isinstance(one, Tensor) == isinstance(other, Tensor)
