"""Builds untrained nets. Whatever a layer draws while it is made comes from the seed alone."""

from __future__ import annotations

import contextlib

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from normbench.errors import PlanError
from normbench.models.base import Model
from normbench.seeding import key, seeded

# What the engine looks for in a layer by name, as version 0.1 called it.
RENAMED = {
    "initialise": "initialize",
    "reestimate": "precise_bn_batches",
    "cancels_scale": "scale_invariant",
}


def build_net(
    model: Model, input_shape: tuple[int, ...], classes: int, *, seed: int = 0, stored: bool = True
) -> nn.Module:
    """Return the untrained net of one run, on the CPU; torch's own random numbers stay as they were.

    Args:
        model: the architecture with its options.
        input_shape: (C, H, W) of one input.
        classes: number of logits.
        seed: seeds what a user's layer draws when it is made.
        stored: false for a net without storage (torch's meta device), for a look at its parts.

    Raises:
        PlanError: the net cannot be built, for example because its normalization refuses a layer's width.
    """
    place = contextlib.nullcontext() if stored else torch.device("meta")
    with seeded(key(seed, "build")), place:
        net = model.build(input_shape, classes)
    for name, module in net.named_modules():
        _refuse_old_names(name, module)
        _refuse_lazy(name, module)
    return net


def _refuse_lazy(name: str, module: nn.Module) -> None:
    """Raise a PlanError for a layer without a shape; its parameters do not exist before the first batch."""
    if isinstance(module, LazyModuleMixin) and module.has_uninitialized_params():  # type: ignore[misc]
        kind = type(module).__name__
        raise PlanError(
            f"{kind} (layer {name}) gets its shape from the first batch; "
            f"use {kind.removeprefix('Lazy')} with the number of features that `module(features)` gets"
        )


def _refuse_old_names(name: str, module: nn.Module) -> None:
    """Raise a PlanError for a layer that was written for version 0.1; its hooks would be ignored silently."""
    for old, new in RENAMED.items():
        # torch raises and catches two errors for an attribute that a module lacks, so its class comes first
        kept = (module.__dict__, module._parameters, module._buffers, module._modules)
        if hasattr(type(module), old) or any(old in one for one in kept):
            what = f"{type(module).__name__}.{old} (layer {name})"
            raise PlanError(f"{what} is called {new} since version 0.2; rename it")
