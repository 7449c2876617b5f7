"""Runs a net with other tensors in place of its parameters and buffers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Tensors = dict[str, Tensor]


def trained(net: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that training updates, by name. A shared parameter has its first name alone."""
    return {name: param for name, param in net.named_parameters() if param.requires_grad}


def untrained(net: nn.Module) -> Tensors:
    """Return buffers and parameters with `requires_grad=False`, by name: what only the layers may change."""
    fixed = {name: param.detach() for name, param in net.named_parameters() if not param.requires_grad}
    return {**fixed, **dict(net.named_buffers())}


def places(net: nn.Module) -> list[tuple[dict[str, Any], str, str]]:
    """Return where the net keeps its tensors: the dictionary of a module, the key in it, the tensor's name.

    A tensor that several modules share has a place in each of them, with one name.
    """
    names = {id(tensor): name for name, tensor in (*net.named_parameters(), *net.named_buffers())}
    return [
        (kept, key, names[id(tensor)])
        for module in net.modules()
        for kept in (module._parameters, module._buffers)
        for key, tensor in kept.items()
        if tensor is not None
    ]


def _renew_lists(net: nn.Module) -> None:
    """Let torch's recurrent layers use the parameters that they hold now: they keep them in a list, too."""
    for module in net.modules():
        if isinstance(module, nn.RNNBase):
            module._flat_weights = [getattr(module, name) for name in module._flat_weights_names]


@contextmanager
def restoring(net: nn.Module) -> Iterator[None]:
    """Put the net's own tensors back at the end of a block."""
    own = [(kept, key, kept[key]) for kept, key, _ in places(net)]
    try:
        yield
    finally:
        for kept, key, tensor in own:
            kept[key] = tensor
        _renew_lists(net)


@contextmanager
def holding(
    net: nn.Module, params: Mapping[str, Tensor], buffers: Mapping[str, Tensor], *, stay: bool = False
) -> Iterator[None]:
    """Put tensors into a net for the length of a block.

    A buffer that a layer binds to a new tensor (`self.running = ...`) is copied into the given one at the
    end, as if the layer had updated it in place.

    Args:
        net: the module. All names are its own.
        params: in place of parameters, by name.
        buffers: in place of buffers and of parameters that are not trained, by name.
        stay: leave the tensors in the net, for a backward pass that runs parts of the net again; the caller
            restores its own (`restoring`).
    """
    given = {**params, **buffers}
    held = [(kept, key, name, kept[key]) for kept, key, name in places(net) if name in given]
    for kept, key, name, _ in held:
        kept[key] = given[name]
    _renew_lists(net)
    try:
        yield
        for kept, key, name, _ in held:
            if name in buffers and kept[key] is not given[name]:
                with torch.no_grad():
                    given[name].copy_(kept[key].detach())
                kept[key] = given[name]
    finally:
        if not stay:
            for kept, key, _, original in held:
                kept[key] = original
            _renew_lists(net)
