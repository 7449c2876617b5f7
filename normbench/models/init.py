"""Initial weights, drawn for each parameter from hash(seed, name of the parameter)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from normbench.nn.layers import Noisy
from normbench.registry import Options
from normbench.seeding import generator

Scheme = Literal["default", "normal", "xavier", "he", "lecun", "orthogonal"]


class Init(Options):
    """Initial weights: the scheme, and a gain that multiplies them. Biases: torch's default, else zero.

    default: torch's, uniform in +-1/sqrt(n), the biases too; normal: N(0, std^2); xavier: N(0, 2/(n + m));
    he: N(0, 2/n); lecun: N(0, 1/n); orthogonal. n inputs and m outputs of a unit. Unset, the normalization
    chooses the scheme (SELU: lecun), else it is torch's default; a scheme written here wins.
    """

    scheme: Scheme | None = Field(None, description="how the weights are drawn")
    gain: float = Field(1.0, gt=0, description="multiplies the initial weights")
    std: float | None = Field(None, gt=0, description="standard deviation for `scheme: normal` (0.05)")

    def resolve(self, wish: Mapping[str, object]) -> Init:
        """Return the scheme that applies when the normalization wishes for `wish`."""
        update: dict[str, Any] = dict(wish) if self.scheme is None else {}
        update.setdefault("scheme", self.scheme or "default")
        if update["scheme"] == "normal":
            update["std"] = self.std or update.get("std") or 0.05
        else:
            update["std"] = None
        return self.model_copy(update=update)

    def weights(self, shape: torch.Size, rng: torch.Generator) -> Tensor:
        """Draw weights (out, in, ...) in float32."""
        outputs, fan_in = shape[0], math.prod(shape[1:])
        fan_out = outputs * math.prod(shape[2:])
        if self.scheme in (None, "default"):
            bound = self.gain / math.sqrt(fan_in)
            return torch.empty(shape).uniform_(-bound, bound, generator=rng)
        if self.scheme == "orthogonal":
            rows = torch.empty(max(outputs, fan_in), min(outputs, fan_in)).normal_(generator=rng)
            q, r = torch.linalg.qr(rows)
            q = q * r.diagonal().sign()  # makes the draw uniform over orthogonal matrices
            return self.gain * (q if outputs >= fan_in else q.T).reshape(shape)
        variance = {
            "normal": (self.std or 0.05) ** 2,
            "xavier": 2 / (fan_in + fan_out),
            "he": 2 / fan_in,
            "lecun": 1 / fan_in,
        }[self.scheme]
        return torch.empty(shape).normal_(0.0, self.gain * math.sqrt(variance), generator=rng)

    def bias(self, shape: torch.Size, fan_in: int, rng: torch.Generator) -> Tensor:
        """Draw biases (out,): torch's default goes with its default weights, else zeros."""
        if self.scheme not in (None, "default"):
            return torch.zeros(shape)
        bound = self.gain / math.sqrt(fan_in)
        return torch.empty(shape).uniform_(-bound, bound, generator=rng)


@torch.no_grad()
def initialize(model: nn.Module, init: Init, seed: int) -> None:
    """Draw all weights of the model's layers, in place.

    A layer is whatever has a `weight` of two or more dimensions; gains and offsets of normalizations keep the
    values that they were made with. Equal names and shapes start equal in every variant with this seed.
    Then a module with a method `start(init, rng)` sets what starts in another way (a gate's bias);
    `rng(part)` returns the generator for its part of this name.
    """
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if not isinstance(weight, nn.Parameter) or weight.dim() < 2:
            continue
        drawn = init.weights(weight.shape, generator(seed, "init", f"{name}.weight"))
        weight.copy_(drawn * getattr(module, "init_scale", 1.0))  # a factor of the layer's own (Fixup)
        if isinstance(getattr(module, "bias", None), nn.Parameter):
            fan_in = math.prod(weight.shape[1:])
            module.bias.copy_(init.bias(module.bias.shape, fan_in, generator(seed, "init", f"{name}.bias")))
    for name, module in model.named_modules():
        if hasattr(module, "start"):
            module.start(init, lambda part, name=name: generator(seed, "init", f"{name}.{part}"))


@contextmanager
def as_trained(model: nn.Module) -> Iterator[None]:
    """Put the model into training mode but for its noisy layers; then restore all modes and buffers."""
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    training = {module: module.training for module in model.modules()}
    model.train()
    for module in model.modules():
        if isinstance(module, Noisy):
            module.eval()
    try:
        yield
    finally:
        for module, mode in training.items():
            module.training = mode
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])


@torch.no_grad()
def initialize_from_batch(model: nn.Module, x: Tensor) -> None:
    """Let every layer that has an `initialize` method set itself from the batch x, layer after layer.

    Each layer sees the outputs of the layers below after these were set. Dropout is off, and running
    statistics stay as they were. Layers inside of a module with `recurs` see no one batch, but another at
    each step of a sequence: they get None.
    """
    layers = [module for module in model.modules() if hasattr(module, "initialize")]
    if not layers:
        return
    recurrent = {part for module in model.modules() if hasattr(module, "recurs") for part in module.modules()}
    for layer in layers:
        if layer in recurrent:
            layer.initialize(None)  # type: ignore[operator]
    layers = [layer for layer in layers if layer not in recurrent]
    hooks = [
        layer.register_forward_pre_hook(lambda module, inputs: module.initialize(inputs[0]))
        for layer in layers
    ]
    with as_trained(model):
        model(x)
    for hook in hooks:
        hook.remove()
