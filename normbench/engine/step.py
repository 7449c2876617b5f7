"""The programs of one run: forward pass, gradients, update, measurement. Each is defined once, here.

A stack has many runs. An executor turns a function of one run into a function of stacked runs, whose tensors
have the run axis R in front. Nothing here depends on the number of runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from normbench.engine.randomness import NoHiddenRandomness
from normbench.nn.functional import cross_entropy
from normbench.nn.holding import holding
from normbench.nn.layers import noise
from normbench.nn.torch_private import traceable
from normbench.optimizers.base import Optimizer
from normbench.probes import OneBatch, Probe, RunView

Tensors = dict[str, Tensor]
Key = tuple[str, str]  # layer and quantity
Data = tuple[Tensor, Tensor, Tensors]  # x, y and the uniform numbers of the noisy layers
Mapped = Callable[..., Any]


def forward(
    net: nn.Module, params: Tensors, buffers: Tensors, data: Data, *, stay: bool = False
) -> tuple[Tensor, Tensor]:
    """Run the net of one run on a batch. Its layers may change their buffers.

    Args:
        net: the module, in training or inference mode.
        params: its parameters by name, without a run axis.
        buffers: its buffers, and the parameters that are not trained, by name, without a run axis.
        data: x (B, ...), y (B,) and noise.
        stay: leave these tensors in the net, for a backward pass that runs parts of the net again.

    Returns:
        The mean loss in nats and the accuracy, 0-dimensional.
    """
    x, y, numbers = data
    with noise(numbers), NoHiddenRandomness(), traceable(), holding(net, params, buffers, stay=stay):
        logits = net(x)
    correct = (logits.argmax(-1) == y).to(logits.dtype).mean()
    return cross_entropy(logits, y), correct


def gradients(
    forward: Mapped, params: Tensors, buffers: Tensors, data: Data
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Run the forward and the backward pass of stacked runs.

    Args:
        forward: the forward pass of stacked runs.
        params: parameters by name, (R, ...).
        buffers: buffers by name, (R, ...).
        data: x, y and noise, (R, ...) each, or without a run axis if all runs see the same batch.

    Returns:
        Loss and accuracy, (R,) each, and the gradients in the order of the parameters, (R, ...) each.
    """
    leaves = {name: param.detach().requires_grad_() for name, param in params.items()}
    loss, correct = forward(leaves, buffers, data)
    # The gradient of the sum holds the gradients of the runs, because runs share no parameter.
    grads = torch.autograd.grad(loss.sum(), list(leaves.values()))
    return loss.detach(), correct.detach(), list(grads)


def update(
    optimizer: Optimizer, params: Tensors, grads: Sequence[Tensor], states: dict[str, Tensors], hyper: Tensors
) -> None:
    """Update the parameters and the optimizer's state of stacked runs in place.

    Args:
        optimizer: the rule; it works on stacked runs.
        params: parameters by name, (R, ...).
        grads: gradients in the order of the parameters, (R, ...).
        states: the optimizer's tensors by its name for them and by parameter, (R, ...).
        hyper: its numbers for this step, such as `lr`, (R,) each.
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
    """Return what the probes measure in one run before the update of `step`. The run does not change.

    Args:
        net: of the run.
        optimizer: of the run.
        probes: which measure.
        step: number of updates made so far.
        params: parameters by name, without a run axis.
        buffers: buffers by name, without a run axis.
        states: the optimizer's tensors, without a run axis.
        hyper: the optimizer's numbers for this step, 0-dimensional.
        batches: those that the probes ask for, by step.

    Returns:
        The values by layer and quantity, 0-dimensional, in the dtype of the learning rate.
    """
    views = {at: OneBatch(*data) for at, data in batches.items()}
    run = RunView(net, step, params, buffers, views, optimizer, states, hyper)
    values: dict[Key, Tensor] = {}
    for probe in probes:
        values.update(probe.measure(run))
    return {key: value.to(hyper["lr"].dtype) for key, value in values.items()}


def saved_bytes(net: nn.Module, params: Tensors, buffers: Tensors, data: Data) -> int:
    """Return how many bytes the forward pass of one run keeps for its backward pass, weights excluded.

    Args:
        net: of the run.
        params: parameters by name, without a run axis.
        buffers: buffers by name, without a run axis.
        data: x (B, ...), y (B,) and noise.
    """
    params = {name: param.clone().requires_grad_() for name, param in params.items()}
    buffers = {name: buffer.clone() for name, buffer in buffers.items()}
    weights = {param.data_ptr() for param in params.values()}
    kept: dict[int, int] = {}  # bytes by address; several saved tensors may share one storage

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
    del loss  # it holds the graph, and so the storages, until here
    return sum(kept.values())
