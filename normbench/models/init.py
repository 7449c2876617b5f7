"""Initial weights. Each parameter is drawn from hash(seed, name of the parameter)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import parametrize

from normbench.cores import one_thread
from normbench.nn.holding import holding
from normbench.nn.layers import Noisy
from normbench.registry import Options
from normbench.seeding import generator

Scheme = Literal["default", "normal", "xavier", "he", "lecun", "orthogonal"]


class Init(Options):
    """Initial weights: the scheme, and a gain that multiplies them.

    For a layer with n inputs and m outputs, the schemes are `default` (torch's, uniform in +-1/sqrt(n)),
    `normal` (N(0, std^2)), `xavier` (N(0, 2/(n + m))), `he` (N(0, 2/n)), `lecun` (N(0, 1/n)) and
    `orthogonal`. Biases are uniform in +-1/sqrt(n) with `default`, and 0 with the other schemes. If no scheme
    is set, the normalization chooses it (SELU: lecun) or it is `default`.
    """

    scheme: Scheme | None = Field(None, description="distribution of the initial weights")
    gain: float = Field(1.0, gt=0, description="factor of the initial weights")
    std: float | None = Field(None, gt=0, description="standard deviation for `scheme: normal` (0.05)")

    def resolve(self, wish: Mapping[str, object]) -> Init:
        """Return the options in effect; `wish` holds those of the normalization, for an unset scheme."""
        update: dict[str, Any] = dict(wish) if self.scheme is None else {}
        update.setdefault("scheme", self.scheme or "default")
        if update["scheme"] == "normal":
            update["std"] = self.std or update.get("std") or 0.05
        else:
            update["std"] = None
        return self.model_copy(update=update)

    def weights(self, shape: torch.Size, rng: torch.Generator) -> Tensor:
        """Return weights of this shape (out, in, ...), in float32."""
        outputs, fan_in = shape[0], math.prod(shape[1:])
        fan_out = outputs * math.prod(shape[2:])
        if self.scheme in (None, "default"):
            bound = self.gain / math.sqrt(fan_in)
            return torch.empty(shape).uniform_(-bound, bound, generator=rng)
        if self.scheme == "orthogonal":
            rows = torch.empty(max(outputs, fan_in), min(outputs, fan_in)).normal_(generator=rng)
            with one_thread():
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
        """Return biases of this shape (out,): torch's default with default weights, otherwise zeros."""
        if self.scheme not in (None, "default"):
            return torch.zeros(shape)
        bound = self.gain / math.sqrt(fan_in)
        return torch.empty(shape).uniform_(-bound, bound, generator=rng)


@torch.no_grad()
def initialize(model: nn.Module, init: Init, seed: int) -> None:
    """Draw the weights and biases of the layers that ask for it, in place.

    A layer asks by the attribute `takes_init`. normbench's `Linear` and `Conv2d` have it, and whatever the
    `wrap` of a normalization returns. All other parameters keep the values that they were made with, such as
    gains of a normalization, and layers of a user's model that did not pass through `wrap`. Parameters with
    equal names and shapes start equal in all variants with this seed. Afterwards, modules with a method
    `start(init, rng)` set what starts in another way, such as the bias of a gate; `rng(part)` returns the
    generator for this part of the module.
    """
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if not (getattr(module, "takes_init", False) and isinstance(weight, Tensor) and weight.dim() >= 2):
            continue
        drawn = init.weights(weight.shape, generator(seed, "init", f"{name}.weight"))
        _set_weight(module, drawn * getattr(module, "init_scale", 1.0))  # Fixup layers have a factor
        if isinstance(getattr(module, "bias", None), nn.Parameter):
            fan_in = math.prod(weight.shape[1:])
            module.bias.copy_(init.bias(module.bias.shape, fan_in, generator(seed, "init", f"{name}.bias")))
    for name, module in model.named_modules():
        if hasattr(module, "start"):
            module.start(init, lambda part, name=name: generator(seed, "init", f"{name}.{part}"))


def _set_weight(module: nn.Module, drawn: Tensor) -> None:
    """Set the weight of a layer, or the parameters that torch's parametrizations compute it from."""
    own = {name: param for name, param in module._parameters.items() if param is not None}
    if "weight" in own:
        own["weight"].copy_(drawn)
    elif parametrize.is_parametrized(module, "weight"):
        try:
            module.weight = drawn  # by the inverse of the parametrization
        except (NotImplementedError, RuntimeError, ValueError):  # it has none
            module.parametrizations["weight"].original.copy_(drawn)  # type: ignore[index, union-attr]
    elif "weight_v" in own and "weight_g" in own:  # torch.nn.utils.weight_norm, which came before them
        own["weight_v"].copy_(drawn)
        own["weight_g"].copy_(torch.linalg.vector_norm(drawn.flatten(1), dim=1).view_as(own["weight_g"]))
    elif "weight_orig" in own:  # the older spectral_norm, and pruning
        own["weight_orig"].copy_(drawn)


@contextmanager
def as_trained(model: nn.Module) -> Iterator[None]:
    """Put the model into training mode, except its noisy layers; on exit restore all modes and buffers."""
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    training = {module: module.training for module in model.modules()}
    model.train()
    for module in model.modules():
        if isinstance(module, Noisy):
            module.eval()
    try:
        with holding(model, {}, buffers):
            yield
    finally:
        for module, mode in training.items():
            module.training = mode


@torch.no_grad()
def initialize_from_batch(model: nn.Module, x: Tensor) -> None:
    """Call the `initialize` method of all layers that have one, with their inputs for the batch x.

    Layers are set from the first to the last, each with the outputs of the layers that are already set.
    Dropout is off, and running statistics do not change. Layers inside a module with `recurs` have other
    inputs at each step of a sequence; they get None.
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
