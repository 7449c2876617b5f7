"""The faults of plug-ins: what is wrong, and in which file and line of the user."""

from __future__ import annotations

from torch import nn

from normbench.config import Settings
from normbench.fidelity.places import is_own, place_of, place_of_error
from normbench.plugins import used_by

FROM_DATA = (
    "To initialize from data, give the layer a method `initialize(self, x)`, which is called once with its "
    "inputs for the first batch"
)
OWN_NOISE = (
    "use normbench.nn.layers.Dropout, or derive the layer from normbench.nn.layers.Noisy, whose "
    "`uniform(x)` depends only on the run's seed, the step and the layer's place in the net"
)


class FaultError(Exception):
    """The text says what a plug-in does wrong, where, and how to mend it."""


def first_sentence(error: BaseException) -> str:
    """Return the first line of an error, at most 200 characters, with the error's type."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else ""
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def own_or_parent(module: nn.Module, net: nn.Module) -> nn.Module:
    """Return the module if the user wrote it, otherwise the innermost module of the user that contains it."""
    if is_own(type(module)):
        return module
    holders = [
        one for one in net.modules() if is_own(type(one)) and any(part is module for part in one.modules())
    ]
    return holders[-1] if holders else module


def place_in(net: nn.Module, module: nn.Module, attribute: str = "", made: bool = False) -> str:
    """Return `file:line` of a module, or of the module of the user that contains it.

    Args:
        net: that has the module.
        module: which is at fault.
        attribute: name of the attribute that is at fault.
        made: whether it is the place where the attribute is made, rather than changed.
    """
    owner = own_or_parent(module, net)
    inside = next((name for name, one in owner.named_modules() if one is module), "")
    return place_of(type(owner), attribute, inside.partition(".")[0], made=made)


def where(net: nn.Module) -> str:
    """Return the place of the user's first module in the net."""
    own = next((module for module in net.modules() if is_own(type(module))), None)
    return place_of(type(own)) if own is not None else type(net).__name__


def place_of_options(settings: Settings) -> str:
    """Return the place of the user's class that makes layers, a model or updates."""
    for part, method in (
        (settings.model.norm, "module"),
        (settings.model, "assemble"),
        (settings.optimizer, "update"),
    ):
        if is_own(type(part)):
            return place_of(type(part), method=method)
    return ", ".join(plugin.name for plugin in used_by(settings))


def place_of_failure(error: BaseException, net: nn.Module) -> str:
    """Return the place in the user's code that raised an error, or that of the user's first module."""
    return place_of_error(error) or where(net)
