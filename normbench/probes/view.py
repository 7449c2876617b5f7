"""One run as a probe sees it: net, coming batch and coming update. Shared results are computed once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import grad_and_value

from normbench.nn.functional import cross_entropy
from normbench.nn.holding import holding, trained
from normbench.nn.layers import ACTIVATIONS, Scaled, noise
from normbench.optimizers import Optimizer

Tensors = dict[str, Tensor]

# Parts of a hidden layer, as the architectures name them. They are not layers of their own.
PARTS = frozenset(
    (
        *("layer", "norm", "activation", "noise"),
        *("block", "gate", "open"),  # of a highway layer
        *("cell", "input", "recurrent", "input_norm", "recurrent_norm", "cell_norm"),  # of a recurrent cell
    )
)


def layer_of(module: str) -> str:
    """Return the layer that a module belongs to: `hidden.0` for `hidden.0.norm`."""
    parts = module.split(".")
    while len(parts) > 1 and (parts[-1] in PARTS or parts[-1].startswith("dropout_")):
        parts.pop()
    return ".".join(parts)


def net_layers(net: nn.Module) -> dict[str, tuple[str, ...]]:
    """Return the names of the parameters of each layer, from the inputs to the classifier."""
    layers: dict[str, tuple[str, ...]] = {}
    for name in trained(net):
        layer = layer_of(name.rpartition(".")[0])
        layers[layer] = (*layers.get(layer, ()), name)
    return layers


def net_activations(net: nn.Module) -> dict[str, nn.Module]:
    """Return the activation of each hidden layer. Those inside gates and recurrent cells do not count."""
    found = {name: m for name, m in net.named_modules() if name.rpartition(".")[2] == "activation"}
    if not found:  # a user's net, which names its modules differently
        kinds = (*ACTIVATIONS.values(), Scaled)
        named = [(name, m) for name, m in net.named_modules() if isinstance(m, kinds)]
        found = {name: m for name, m in named if name.rpartition(".")[2] != "open"}
    return _by_layer({n: m for n, m in found.items() if not any(n.startswith(f"{o}.") for o in found)})


def net_norms(net: nn.Module) -> dict[str, nn.Module]:
    """Return the normalization of each layer that has one on (B, F) or (B, C, H, W)."""
    return _by_layer({name: m for name, m in net.named_modules() if name.rpartition(".")[2] == "norm"})


def _by_layer(modules: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Name modules by their layers if that distinguishes them."""
    layers = [layer_of(name) for name in modules]
    return {
        layer if layers.count(layer) == 1 else name: module
        for layer, (name, module) in zip(layers, modules.items(), strict=True)
    }


@dataclass(frozen=True)
class OneBatch:
    """One run's batch: x (B, ...), y (B,), and the uniform random numbers of its noisy layers."""

    x: Tensor
    y: Tensor
    noise: Mapping[str, Tensor]


@dataclass(frozen=True)
class Seen:
    """What a forward pass computed: (inputs, outputs) of modules by layer, and the logits."""

    activations: dict[str, tuple[Tensor, Tensor]]
    norms: dict[str, tuple[Tensor, Tensor]]
    logits: Tensor


class RunView:
    """One run before the update of `step`. Using it does not change the training.

    Args:
        model: the net.
        step: number of updates made so far.
        params, buffers: current tensors of the net.
        batches: the batches that the probes need, by step.
        optimizer: makes the coming update.
        states: the optimizer's state of each parameter.
        hyper: the optimizer's numbers for this step.

    Attributes:
        lr: the learning rate of the coming update (at the last step, of the update before).
    """

    def __init__(
        self,
        model: nn.Module,
        step: int,
        params: Tensors,
        buffers: Tensors,
        batches: Mapping[int, OneBatch],
        optimizer: Optimizer,
        states: dict[str, Tensors],
        hyper: Tensors,
    ) -> None:
        self.model, self.step, self.params, self.buffers = model, step, params, buffers
        self.batches, self.optimizer, self.states, self.hyper = batches, optimizer, states, hyper
        self.lr = hyper["lr"]

    @property
    def batch(self) -> OneBatch:
        """Return the coming batch."""
        return self.batches[self.step]

    @cached_property
    def layers(self) -> dict[str, tuple[str, ...]]:
        """Return the names of the parameters of each layer, from the inputs to the classifier."""
        return net_layers(self.model)

    def logits(self, params: Tensors, batch: OneBatch | None = None, training: bool = True) -> Tensor:
        """Return the net's outputs (B, classes). The buffers do not change."""
        batch = batch or self.batch
        self.model.train(training)
        # a training forward pass writes to its buffers: to copies, made here, inside any transform
        buffers = {name: buffer.clone() for name, buffer in self.buffers.items()}
        with noise(batch.noise), holding(self.model, {**self.params, **params}, buffers):
            return self.model(batch.x)  # type: ignore[no-any-return]

    def loss(self, params: Tensors | None = None, batch: OneBatch | None = None) -> Tensor:
        """Return the mean training loss of a batch, in nats."""
        batch = batch or self.batch
        return cross_entropy(self.logits(params or {}, batch), batch.y)

    def gradients(
        self, params: Tensors | None = None, batch: OneBatch | None = None, of: Collection[str] | None = None
    ) -> Tensors:
        """Return the gradient at these parameters, with respect to those in `of` (by default all)."""
        if params is None and batch is None and of is None:
            return self._pass[0]
        return self.gradients_and_loss(params, batch, of)[0]

    def gradients_and_loss(
        self, params: Tensors | None = None, batch: OneBatch | None = None, of: Collection[str] | None = None
    ) -> tuple[Tensors, Tensor]:
        """Return the gradient as `gradients` does, and the loss."""
        at = {**self.params, **(params or {})}
        moving = {name: at[name] for name in (at if of is None else of)}

        def loss(moving: Tensors) -> Tensor:
            return self.loss({**at, **moving}, batch)

        return grad_and_value(loss)(moving)

    @cached_property
    def _pass(self) -> tuple[Tensors, Tensor, Seen]:
        """Return gradient and loss on the coming batch, and what the forward pass computed."""

        def loss(params: Tensors) -> tuple[Tensor, Any]:
            seen = self._watched(params, training=True)
            # a transform can return plain containers only
            return cross_entropy(seen.logits, self.batch.y), (seen.activations, seen.norms, seen.logits)

        gradients, (value, seen) = grad_and_value(loss, has_aux=True)(self.params)
        return gradients, value, Seen(*seen)

    @property
    def loss_now(self) -> Tensor:
        """Return the loss on the coming batch."""
        return self._pass[1]

    def seen(self, training: bool = True, params: Tensors | None = None) -> Seen:
        """Return what a forward pass of the coming batch computes."""
        return self._pass[2] if training and params is None else self._watched(params or {}, training)

    def _watched(self, params: Tensors, training: bool) -> Seen:
        """Record the inputs and outputs of all activations and normalizations in a forward pass."""

        def note(into: dict[str, tuple[Tensor, Tensor]], layer: str) -> Callable[..., None]:
            def hook(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
                into[layer] = (inputs[0], output)

            return hook

        activations: dict[str, tuple[Tensor, Tensor]] = {}
        norms: dict[str, tuple[Tensor, Tensor]] = {}
        hooks = [m.register_forward_hook(note(activations, n)) for n, m in self.activations.items()]
        hooks += [m.register_forward_hook(note(norms, n)) for n, m in self.norms.items()]
        try:
            return Seen(activations, norms, self.logits(params, training=training))
        finally:
            for hook in hooks:
                hook.remove()

    @cached_property
    def activations(self) -> dict[str, nn.Module]:
        """Return the activation of each hidden layer."""
        return net_activations(self.model)

    @cached_property
    def norms(self) -> dict[str, nn.Module]:
        """Return the normalization of each layer with one."""
        return net_norms(self.model)

    @cached_property
    def updated(self) -> Tensors:
        """Return the parameters after the coming update, by the optimizer's own rule."""
        params, hyper = _lane(self.params), _lane(self.hyper)
        grads = {
            name: grad.unsqueeze(0) for name, grad in self.gradients().items()
        }  # no optimizer writes to them
        states = {name: _lane(tensors) for name, tensors in self.states.items()}
        self.optimizer.apply(params, grads, states, hyper)
        return {name: param.squeeze(0) for name, param in params.items()}


def _lane(tensors: Mapping[str, Tensor]) -> Tensors:
    """Return copies with a run axis of size one, which an optimizer may write to."""
    return {name: tensor.unsqueeze(0).clone() for name, tensor in tensors.items()}


def squared_norm(tensors: Mapping[str, Tensor], names: Collection[str] | None = None) -> Tensor:
    """Return the sum of squares of the tensors with these names (by default all)."""
    chosen = list(tensors.values()) if names is None else [tensors[name] for name in names]
    total = sum_of_squares(chosen[0])
    for tensor in chosen[1:]:
        total = total + sum_of_squares(tensor)
    return total


def sum_of_squares(tensor: Tensor) -> Tensor:
    """Return the sum of squares in one pass over memory; square().sum() would also write the squares."""
    return torch.linalg.vector_norm(tensor).square()


def norm(tensors: Mapping[str, Tensor], names: Collection[str] | None = None) -> Tensor:
    """Return the Euclidean norm of all tensors with these names together."""
    return squared_norm(tensors, names).sqrt()


def minus(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> Tensors:
    """Return a - b, for the names of a."""
    return {name: tensor - b[name] for name, tensor in a.items()}
