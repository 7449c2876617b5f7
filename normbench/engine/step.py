"""The programs of one run: forward pass, gradients, update, measurement. Each stands here once.

A stack has many such runs. An executor makes a function of stacked runs, whose tensors have the run axis in
front, from a function of one run. Nothing here knows how many runs there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from normbench.engine.randomness import NoHiddenRandomness
from normbench.nn.functional import cross_entropy
from normbench.nn.layers import noise
from normbench.optimizers.base import Optimizer
from normbench.probes import OneBatch, Probe, RunView

Tensors = dict[str, Tensor]
Key = tuple[str, str]  # layer and quantity
Data = tuple[Tensor, Tensor, Tensors]  # x, y and the uniform numbers of the noisy layers
Mapped = Callable[..., Any]


def forward(net: nn.Module, params: Tensors, buffers: Tensors, data: Data) -> tuple[Tensor, Tensor]:
    """Run the net of one run on a batch; buffers are changed in place, as the layers do.

    Args:
        net: the module, in training or inference mode.
        params, buffers: its tensors, without a run axis.
        data: x (B, ...), y (B,) and noise.

    Returns:
        The mean loss in nats and the share of correct answers, without dimensions.
    """
    x, y, numbers = data
    with noise(numbers), NoHiddenRandomness():
        logits = functional_call(net, (params, buffers), (x,))
    correct = (logits.argmax(-1) == y).to(logits.dtype).mean()
    return cross_entropy(logits, y), correct


def gradients(
    forward: Mapped, params: Tensors, buffers: Tensors, data: Data
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Return loss (R,), share of correct answers (R,) and the gradients of all parameters, (R, ...) each.

    Args:
        forward: of stacked runs.
        params, buffers: stacked, (R, ...).
        data: stacked, or without a run axis where all runs see the same batch.
    """
    leaves = {name: param.detach().requires_grad_() for name, param in params.items()}
    loss, correct = forward(leaves, buffers, data)
    # Runs share no tensor that needs a gradient, so the sum keeps their gradients apart.
    grads = torch.autograd.grad(loss.sum(), list(leaves.values()))
    return loss.detach(), correct.detach(), list(grads)


def update(
    optimizer: Optimizer, params: Tensors, grads: Sequence[Tensor], states: dict[str, Tensors], hyper: Tensors
) -> None:
    """Make one update of the parameters and of the optimizer's state, in place.

    Args:
        optimizer: the rule, which works on stacked runs.
        params: stacked, (R, ...).
        grads: in the order of the parameters.
        states: the optimizer's tensors by name and parameter, (R, ...).
        hyper: its numbers for this step, such as `lr`, each (R,).
    """
    with torch.no_grad():
        optimizer.apply(params, dict(zip(params, grads, strict=True)), states, hyper)


def measure(
    net: nn.Module,
    optimizer: Optimizer,
    probes: Sequence[Probe],
    step: int,
    params: Tensors,
    buffers: Tensors,
    states: dict[str, Tensors],
    hyper: Tensors,
    batches: Mapping[int, Data],
) -> dict[Key, Tensor]:
    """Return what the probes measure in one run before the update of `step`. The run stays as it is.

    Args:
        net, optimizer: of the run.
        probes: which measure.
        step: the number of updates made so far.
        params, buffers, states, hyper: of the run, without a run axis.
        batches: those that the probes ask for, by step.

    Returns:
        By layer and quantity a number without dimensions, in the dtype of the rate.
    """
    views = {at: OneBatch(*data) for at, data in batches.items()}
    run = RunView(net, step, params, buffers, views, optimizer, states, hyper)
    values: dict[Key, Tensor] = {}
    for probe in probes:
        values.update(probe.measure(run))
    return {key: value.to(run.lr.dtype) for key, value in values.items()}


def saved_bytes(net: nn.Module, params: Tensors, buffers: Tensors, data: Data) -> int:
    """Return the bytes that one run's forward pass keeps for its backward pass, weights left out."""
    params = {name: param.clone().requires_grad_() for name, param in params.items()}
    buffers = {name: buffer.clone() for name, buffer in buffers.items()}
    weights = {param.data_ptr() for param in params.values()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if tensor.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    x, y, numbers = data
    net.train()
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        own = {place: values.clone() for place, values in numbers.items()}
        loss, _ = forward(net, params, buffers, (x.clone(), y.clone(), own))
    del loss
    return sum(kept.values())
